/* From what the kernel told to first touches, and from these to hints: of events made by hand. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "tools/trace/place.h"
#include "tools/trace/to_hints.h"
#include "tools/trace/touches.h"

#include <criterion/criterion.h>

#define VM_MM    77U
#define OTHER_MM 78U
#define FIRST_NS 1000U

static void add_slot(struct touches *t, uint64_t gfn, uint64_t pages, uint64_t hva)
{
        struct trace_slot s = {.kind = TRACE_SLOT, .slot = {.first_gfn = gfn, .nr_pages = pages, .hva = hva}, .tgid = 9};

        cr_assert_eq(touches_add(t, &s, sizeof(s)), 0);
}

static void add(struct touches *t, uint64_t ns, unsigned kind, uint64_t page, uint64_t mm)
{
        struct trace_event e = {.ns = ns, .kind = kind, .page = page, .mm = mm};

        cr_assert_eq(touches_add(t, &e, sizeof(e)), 0);
}

static struct first_touches resolve(const struct touches *t)
{
        struct first_touches r = {0};
        struct err e = {0};

        cr_assert_eq(touches_resolve(t, VM_MM, FIRST_NS, &r, &e), 0, "%s", e.text);
        return r;
}

Test(touches, a_host_address_in_a_slot_is_a_guest_page_also_where_the_slot_became_known_later)
{
        _cleanup_(touches_free) struct touches t = {0};
        _cleanup_(first_touches_free) struct first_touches r = {0};

        add(&t, 2000, TRACE_HOST, 0x7f000 + 5, VM_MM);
        add_slot(&t, 0x100, 0x10, pages_to_bytes(0x7f000));
        r = resolve(&t);
        cr_assert_eq(r.nr, 1);
        cr_assert_eq(r.v[0].gfn, 0x105);
        cr_assert_not(r.v[0].write);
}

Test(touches, host_addresses_beside_the_slots_and_of_other_processes_are_none)
{
        _cleanup_(touches_free) struct touches t = {0};
        _cleanup_(first_touches_free) struct first_touches r = {0};

        add_slot(&t, 0, 0x10, pages_to_bytes(0x7f000));
        add(&t, 2000, TRACE_HOST, 0x7f000 - 1, VM_MM);
        add(&t, 2001, TRACE_HOST, 0x7f000 + 0x10, VM_MM);
        add(&t, 2002, TRACE_HOST, 0x7f000, OTHER_MM);
        r = resolve(&t);
        cr_assert_eq(r.nr, 0);
}

Test(touches, where_a_slot_was_moved_the_newest_one_counts)
{
        _cleanup_(touches_free) struct touches t = {0};
        _cleanup_(first_touches_free) struct first_touches r = {0};

        add_slot(&t, 0x100, 0x10, pages_to_bytes(0x7f000));
        add_slot(&t, 0x900, 0x10, pages_to_bytes(0x7f000));
        add(&t, 2000, TRACE_HOST, 0x7f001, VM_MM);
        r = resolve(&t);
        cr_assert_eq(r.nr, 1);
        cr_assert_eq(r.v[0].gfn, 0x901);
}

Test(touches, of_several_touches_the_first_one_counts_and_a_later_write_is_remembered)
{
        _cleanup_(touches_free) struct touches t = {0};
        _cleanup_(first_touches_free) struct first_touches r = {0};

        add_slot(&t, 0, 0x10, pages_to_bytes(0x7f000));
        add(&t, 2000, TRACE_GUEST, 3, 0);
        add(&t, 3000, TRACE_GUEST | TRACE_WRITE, 2, 0);
        add(&t, 4000, TRACE_HOST | TRACE_WRITE, 0x7f003, VM_MM);
        add(&t, 1500, TRACE_GUEST | TRACE_LARGE, 2, 0); /* another CPU's, read later */
        r = resolve(&t);
        cr_assert_eq(r.nr, 2);
        cr_assert_eq(r.v[0].gfn, 2);
        cr_assert_eq(r.v[0].ns, 1500);
        cr_assert(!r.v[0].write && r.v[0].written && r.v[0].large);
        cr_assert_eq(r.v[1].gfn, 3);
        cr_assert(!r.v[1].write && r.v[1].written && !r.v[1].large);
        cr_assert_eq(r.large, 1);
}

Test(touches, what_the_process_writes_before_the_guest_runs_is_loading_and_what_it_reads_is_a_touch)
{
        _cleanup_(touches_free) struct touches t = {0};
        _cleanup_(first_touches_free) struct first_touches r = {0};

        add_slot(&t, 0, 0x10, pages_to_bytes(0x7f000));
        add(&t, FIRST_NS - 2, TRACE_HOST | TRACE_WRITE, 0x7f001, VM_MM);
        add(&t, FIRST_NS - 1, TRACE_HOST, 0x7f002, VM_MM);
        add(&t, FIRST_NS + 1, TRACE_HOST | TRACE_WRITE, 0x7f003, VM_MM);
        r = resolve(&t);
        cr_assert_eq(r.filled, 1);
        cr_assert_eq(r.nr, 2);
        cr_assert_eq(r.v[0].gfn, 2);
        cr_assert_eq(r.v[1].gfn, 3);
}

static struct place of_slots(const struct touches *t)
{
        struct place p = {0};
        struct err e = {0};

        cr_assert_eq(place_of_slots(t, &p, &e), 0, "%s", e.text);
        return p;
}

/* QEMU's: 0 to 0xa0000 and from 0x100000 on are one block, the BIOS lies over the hole, the rest of RAM is above 4 GiB. */
static void add_qemu_slots(struct touches *t)
{
        add_slot(t, 0, 0xa0, pages_to_bytes(0x7f000000));
        add_slot(t, 0xc0, 0x40, pages_to_bytes(0x6e000000));
        add_slot(t, 0x100, 0xbff00, pages_to_bytes(0x7f000000 + 0x100));
        add_slot(t, 0x100000, 0x40000, pages_to_bytes(0x7f000000 + 0xc0000));
}

Test(place, slots_of_one_block_are_one_window_and_the_pci_hole_takes_no_page_numbers)
{
        _cleanup_(touches_free) struct touches t = {0};
        struct place p;

        add_qemu_slots(&t);
        p = of_slots(&t);
        cr_assert_eq(p.slots.nr, 2, "found %zu windows", p.slots.nr);
        cr_assert_eq(p.slots.w[0].gpa, 0);
        cr_assert_eq(p.slots.w[0].size_bytes, 3 * GIB);
        cr_assert_eq(p.slots.w[1].gpa, 4 * GIB);
        cr_assert_eq(p.slots.w[1].ram_offset_bytes, 3 * GIB);
}

Test(place, a_slot_that_goes_beyond_the_memory_of_a_snapshot_is_another_vms)
{
        _cleanup_(touches_free) struct touches t = {0};
        struct place p = {0};
        uint64_t bytes = 0;
        gpa_t gpa = 1;

        cr_assert_eq(mem_layout_add(&p.slots, 0, 128 * MIB, NULL), 0);
        add_slot(&t, 0, bytes_to_pages(128 * MIB), pages_to_bytes(0x7f000000));
        add_slot(&t, 0xfffc0, 0x40, pages_to_bytes(0x6e000000)); /* firmware, beside it */
        cr_assert(place_fits_slots(&p, &t, &gpa, &bytes));
        add_slot(&t, 0, bytes_to_pages(GIB), pages_to_bytes(0x7f000000));
        cr_assert_not(place_fits_slots(&p, &t, &gpa, &bytes));
        cr_assert_eq(gpa, 0);
        cr_assert_eq(bytes, GIB);
}

Test(to_hints, pages_are_numbered_across_the_hole_and_phases_end_at_the_first_byte)
{
        _cleanup_(touches_free) struct touches t = {0};
        _cleanup_(first_touches_free) struct first_touches r = {0};
        _cleanup_(hints_free) struct hints h = {0};
        struct to_hints_report report;
        struct err e = {0};
        struct place p;

        add_qemu_slots(&t);
        add(&t, FIRST_NS, TRACE_GUEST, 0x100000, 0);
        add(&t, FIRST_NS + 5000, TRACE_GUEST | TRACE_WRITE, 1, 0);
        add(&t, FIRST_NS + 6000, TRACE_GUEST, 0xfee00, 0); /* the local APIC */
        add(&t, FIRST_NS + 9000, TRACE_GUEST, 2, 0);
        p = of_slots(&t);
        r = resolve(&t);
        cr_assert_eq(to_hints(&r, &p, FIRST_NS, FIRST_NS + 7000, &h, &report, &e), 0);
        cr_assert_eq(report.outside, 1);
        cr_assert_eq(report.outside_gfn, 0xfee00);
        cr_assert_eq(h.nr, 3);
        cr_assert_eq(h.ram_pages, 4 * GIB / PAGE_BYTES);
        cr_assert_eq(hints_check(&h, "traced", &e), 0, "%s", e.text);
        cr_assert_eq(h.v[0].page, 0xc0000);
        cr_assert_eq(h.v[0].phase, HINT_PHASE_T3);
        cr_assert_eq(h.v[1].page, 1);
        cr_assert_eq(h.v[1].touch_us, 5);
        cr_assert_eq(h.v[1].flags, HINT_WRITTEN | HINT_DIFFERS);
        cr_assert_eq(h.v[2].page, 2);
        cr_assert_eq(h.v[2].phase, HINT_PHASE_T4);
}
