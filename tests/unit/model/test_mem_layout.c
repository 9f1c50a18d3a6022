/* test_mem_layout: windows in order, addresses through them. */
#include "core/model/mem_layout.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* 4 GiB of RAM, split at the PCI hole. */
static struct mem_layout split(void)
{
        struct mem_layout l = { 0 };

        cr_assert_eq(mem_layout_add(&l, 0, 3 * GIB, NULL), 0);
        cr_assert_eq(mem_layout_add(&l, 4 * GIB, GIB, NULL), 0);
        return l;
}

static void assert_refused(struct mem_layout *l, gpa_t gpa, uint64_t size_bytes)
{
        struct mem_layout before = *l;
        struct err        e = { 0 };

        cr_assert_eq(mem_layout_add(l, gpa, size_bytes, &e), -EINVAL);
        cr_assert_eq(e.code, -EINVAL);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert(strlen(e.text) > 0);
        cr_assert_eq(memcmp(&before, l, sizeof(before)), 0);
}

Test(mem_layout, windows_lie_in_ram_without_a_gap)
{
        struct mem_layout l = split();

        cr_assert_eq(l.nr, 2);
        cr_assert_eq(l.total_bytes, 4 * GIB);
        cr_assert_eq(l.w[1].ram_offset_bytes, 3 * GIB);
}

Test(mem_layout, windows_that_touch_are_accepted)
{
        struct mem_layout l = { 0 };

        cr_assert_eq(mem_layout_add(&l, 0, 4096, NULL), 0);
        cr_assert_eq(mem_layout_add(&l, 4096, 4096, NULL), 0);
}

Test(mem_layout, a_window_that_breaks_a_rule_is_refused_and_changes_nothing)
{
        struct mem_layout l = split();

        assert_refused(&l, 0, 4096);                              /* descends */
        assert_refused(&l, 5 * GIB - 4096, 8192);                 /* overlaps */
        assert_refused(&l, 6 * GIB + 1, 4096);                    /* gpa not in pages */
        assert_refused(&l, 6 * GIB, 4097);                        /* size not in pages */
        assert_refused(&l, 6 * GIB, 0);                           /* nothing */
        assert_refused(&l, UINT64_MAX - 4095, 4096);              /* its end is 2^64 */
        assert_refused(&l, 6 * GIB, UINT64_MAX - 4095);           /* its end overflows */
}

Test(mem_layout, one_window_more_than_there_is_room_for_is_refused)
{
        struct mem_layout l = { 0 };

        for (uint64_t i = 0; i < MEM_WINDOWS_MAX; i++)
                cr_assert_eq(mem_layout_add(&l, i * MIB, 4096, NULL), 0);
        assert_refused(&l, GIB, 4096);
}

Test(mem_layout, an_address_is_found_in_its_window)
{
        static const struct {
                gpa_t    gpa;
                uint64_t len, offset;
        } table[] = {
                { 0, 1, 0 },
                { 3 * GIB - 1, 1, 3 * GIB - 1 },
                { 0, 3 * GIB, 0 },
                { 4 * GIB, GIB, 3 * GIB },
                { 5 * GIB - 1, 1, 4 * GIB - 1 },
        };
        struct mem_layout l = split();

        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                uint64_t offset = 7;

                cr_assert(mem_layout_gpa_to_offset(&l, table[i].gpa, table[i].len, &offset), "row %zu", i);
                cr_assert_eq(offset, table[i].offset, "row %zu", i);
        }
}

Test(mem_layout, what_no_window_holds_whole_is_not_found)
{
        static const struct {
                gpa_t    gpa;
                uint64_t len;
        } table[] = {
                { 3 * GIB, 1 },              /* the hole */
                { 3 * GIB - 1, 2 },          /* into the hole */
                { 4 * GIB - 1, 2 },          /* out of the hole */
                { 3 * GIB - 1, GIB + 2 },    /* over the hole */
                { 5 * GIB, 1 },              /* past the end */
                { 0, 0 },                    /* nothing */
                { 4096, UINT64_MAX },        /* the sum overflows */
                { UINT64_MAX, UINT64_MAX },
        };
        struct mem_layout l = split();

        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                uint64_t offset = 7;

                cr_assert(!mem_layout_gpa_to_offset(&l, table[i].gpa, table[i].len, &offset), "row %zu", i);
                cr_assert_eq(offset, 7, "row %zu", i);
        }
}

Test(mem_layout, a_host_address_is_there_once_ram_is_mapped)
{
        static uint8_t    ram[2 * PAGE_BYTES];
        struct mem_layout l = { 0 };

        cr_assert_eq(mem_layout_add(&l, 0, 4096, NULL), 0);
        cr_assert_eq(mem_layout_add(&l, MIB, 4096, NULL), 0);
        cr_assert_null(mem_layout_gpa_to_hva(&l, 0, 1));
        l.ram = ram;
        cr_assert_eq(mem_layout_gpa_to_hva(&l, MIB + 5, 8), ram + 4101);
        cr_assert_null(mem_layout_gpa_to_hva(&l, MIB + 4095, 2));
}

Test(mem_layout, an_offset_and_its_address_lead_to_each_other)
{
        static const uint64_t offsets[] = { 0, 3 * GIB - 1, 3 * GIB, 4 * GIB - 1 };
        struct mem_layout     l = split();

        for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
                uint64_t back = 0;

                cr_assert(mem_layout_gpa_to_offset(&l, mem_layout_offset_to_gpa(&l, offsets[i]), 1, &back));
                cr_assert_eq(back, offsets[i]);
        }
}
