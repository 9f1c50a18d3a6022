/* test_stratovirt: a real StratoVirt snapshot is read as it is, and what cannot be restored is refused by name. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/format.h"
#include "formats/page_index.h"
#include "formats/siphash.h"
#include "tests/support/fixture.h"
#include "tests/support/sv_snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FIXTURE      "stratovirt/microvm-128m"
#define FIXTURE_RAM  (128 * MIB)
#define TWO_VCPUS    "stratovirt/microvm-256m-smp2-blk-net"
#define _cleanup_snapshot_ _cleanup_(snapshot_close)

static const struct snapshot_open_options any = { 0 };

/* Writes state beside a memory of holes and opens the two. */
static int open_with(const struct sv_bytes *state, uint64_t ram_bytes, struct snapshot *ret, struct err *e)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        tmpdir_write(&t, "state", state->p, state->len);
        sv_write_memory(&t, ram_bytes, NULL, NULL);
        return snapshot_open(t.path, &any, ret, e);
}

static void assert_refused(const struct sv_bytes *state, const char *message)
{
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };

        cr_assert_eq(open_with(state, FIXTURE_RAM, &s, &e), -EBADMSG);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, message), "expected '%s' in '%s'", message, e.text);
}

/* The index of the record of that name. */
static int find_record(const struct sv_bytes *state, const char *text)
{
        uint64_t name = siphash13_str(text);

        for (int i = 0; i < sv_nr_records(state); i++)
                if (!memcmp(state->p + sv_record_at(state, i), &name, sizeof(name)))
                        return i;
        cr_assert_fail("no record %s", text);
        return -1;
}

static void rename_record(struct sv_bytes *state, const char *from, const char *to)
{
        uint64_t name = siphash13_str(to);

        memcpy(state->p + sv_record_at(state, find_record(state, from)), &name, sizeof(name));
}

/* One edit of the real state makes it a snapshot to refuse. */
static void assert_edit_refused(int nth, const char *from, const char *to, const char *message)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");

        sv_edit(&state, nth, from, to);
        assert_refused(&state, message);
}

static uint64_t number(json_object *o, const char *name)
{
        json_object *v = json_object_object_get(o, name);

        cr_assert_not_null(v, "expect.json has no %s", name);
        return json_object_is_type(v, json_type_string) ? strtoull(json_object_get_string(v), NULL, 0)
               : json_object_get_uint64(v);
}

static uint64_t msr(const struct vcpu_state *v, uint32_t index)
{
        for (uint32_t i = 0; i < v->nr_msrs; i++)
                if (v->msrs[i].index == index)
                        return v->msrs[i].data;
        cr_assert_fail("no MSR %#x", index);
        return 0;
}

static uint32_t lapic_register(const struct vcpu_state *v, size_t at)
{
        uint32_t r;

        memcpy(&r, v->lapic.regs + at, sizeof(r));
        return r;
}

static void assert_vcpu(const struct vcpu_state *v, json_object *x)
{
        cr_assert_eq(v->apic_id, number(x, "apic_id"));
        cr_assert_eq(v->regs.rip, number(x, "rip"));
        cr_assert_eq(v->regs.rsp, number(x, "rsp"));
        cr_assert_eq(v->regs.rflags, number(x, "rflags"));
        cr_assert_eq(v->sregs.cr0, number(x, "cr0"));
        cr_assert_eq(v->sregs.cr3, number(x, "cr3"));
        cr_assert_eq(v->sregs.cr4, number(x, "cr4"));
        cr_assert_eq(v->sregs.efer, number(x, "efer"));
        cr_assert_eq(v->sregs.cs.selector, number(x, "cs_selector"));
        cr_assert_eq(v->mp_state.mp_state, number(x, "mp_state"));
        cr_assert_eq(v->nr_msrs, number(x, "msr_count"));
        cr_assert_eq(msr(v, 0x10), number(x, "msr_tsc"));
        cr_assert_eq(lapic_register(v, 0xf0), number(x, "lapic_svr"));
        cr_assert_eq(lapic_register(v, 0x320), number(x, "lapic_timer_lvt"));
}

static void assert_vcpus(const struct vm_state *vm, json_object *expect)
{
        json_object *list = json_object_object_get(expect, "vcpus");

        cr_assert_eq(vm->nr_vcpus, json_object_array_length(list));
        for (uint32_t i = 0; i < vm->nr_vcpus; i++)
                assert_vcpu(&vm->vcpus[i], json_object_array_get_idx(list, i));
}

static void assert_serial(const struct vm_state *vm, json_object *x)
{
        const struct device_record *d = vm_state_device(vm, DEVICE_SERIAL);
        const struct serial_state  *s = d ? &d->u.serial : NULL;

        cr_assert_not_null(s);
        cr_assert_str_eq(d->id, "serial");
        cr_assert_eq(s->ier, number(x, "ier"));
        cr_assert_eq(s->iir, number(x, "iir"));
        cr_assert_eq(s->fcr, 0);
        cr_assert_eq(s->lcr, number(x, "lcr"));
        cr_assert_eq(s->mcr, number(x, "mcr"));
        cr_assert_eq(s->lsr, number(x, "lsr"));
        cr_assert_eq(s->msr, number(x, "msr"));
        cr_assert_eq(s->scr, number(x, "scr"));
        cr_assert_eq(s->divisor, number(x, "div"));
        cr_assert_eq(s->thr_pending, number(x, "thr_pending"));
        cr_assert_eq(s->rx_len, number(x, "rbr_len"));
}

static void assert_platform(const struct platform_state *p, json_object *x)
{
        json_object                *redirs = json_object_object_get(x, "ioapic_redirs");
        struct json_object_iterator i = json_object_iter_begin(redirs), end = json_object_iter_end(redirs);

        cr_assert_eq(p->have, 1u << PLATFORM_IOAPIC | 1u << PLATFORM_PIT | 1u << PLATFORM_CLOCK);
        cr_assert_eq(p->pit.channels[0].mode, number(x, "pit_channel0_mode"));
        cr_assert_eq(p->clock.clock, number(x, "clock_ns"));
        cr_assert_eq(p->clock.flags, 0);
        cr_assert_eq(p->ioapic.base_address, 0xfec00000);
        for (; !json_object_iter_equal(&i, &end); json_object_iter_next(&i))
                cr_assert_eq(p->ioapic.redirtbl[atoi(json_object_iter_peek_name(&i))].bits,
                             strtoull(json_object_get_string(json_object_iter_peek_value(&i)), NULL, 0));
}

static void assert_queue(const struct virtqueue_state *q, json_object *x)
{
        cr_assert_eq(q->size, number(x, "size"));
        cr_assert_eq(q->ready, json_object_get_boolean(json_object_object_get(x, "ready")));
        cr_assert_eq(q->desc_gpa, number(x, "desc"));
        cr_assert_eq(q->avail_gpa, number(x, "avail"));
        cr_assert_eq(q->used_gpa, number(x, "used"));
        cr_assert_eq(q->next_avail, number(x, "next_avail"));
        cr_assert_eq(q->next_used, number(x, "next_used"));
        cr_assert_eq(q->max_size, 256);
}

static void assert_mac(const uint8_t mac[6], json_object *x)
{
        char text[18];

        snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
        cr_assert_str_eq(text, json_object_get_string(json_object_object_get(x, "mac")));
}

static void assert_slot(const struct virtio_state *v, json_object *x)
{
        json_object *queues = json_object_object_get(x, "queues");

        cr_assert_not_null(v);
        cr_assert_str_eq(virtio_kind_name(v->kind), json_object_get_string(json_object_object_get(x, "type")));
        cr_assert_eq(v->activated, json_object_get_boolean(json_object_object_get(x, "activated")));
        cr_assert_eq(v->status, number(x, "status"));
        cr_assert_eq(v->driver_features, number(x, "driver_features"));
        cr_assert_eq(v->nr_queues, json_object_array_length(queues));
        for (unsigned int i = 0; i < v->nr_queues; i++)
                assert_queue(&v->queues[i], json_object_array_get_idx(queues, i));
        cr_assert(!v->no_transport && !v->broken && !v->interrupt_status);
        if (v->kind == VIRTIO_BLK) {
                cr_assert_eq(v->u.blk.capacity_sectors, number(x, "capacity"));
                cr_assert_eq(v->u.blk.seg_max, 254);
                cr_assert_eq(v->device_features, 0x130000204);
        } else {
                assert_mac(v->u.net.mac, x);
                cr_assert(v->u.net.status == 1 && !v->u.net.has_filters);
                cr_assert_eq(v->device_features, 0x1309f5da3);
        }
}

/* The serial port first, then the slots in order. */
static void assert_virtio(const struct vm_state *vm, json_object *list)
{
        cr_assert_eq(json_object_array_length(list), 6);
        cr_assert_eq(vm->nr_devices, 7);
        cr_assert_eq(vm->devices[0].kind, DEVICE_SERIAL);
        for (uint32_t i = 0; i < 6; i++) {
                cr_assert_eq(vm->devices[1 + i].u.virtio.slot, i);
                cr_assert_eq(number(json_object_array_get_idx(list, i), "slot"), i);
                assert_slot(vm_state_virtio(vm, i), json_object_array_get_idx(list, i));
        }
}

static uint64_t hash_of_ram(const struct page_map *m)
{
        _cleanup_free_ uint8_t *buf = malloc(MIB);
        XXH3_state_t           *h = XXH3_createState();
        uint64_t                sum;

        XXH3_64bits_reset(h);
        cr_assert_eq(m->nr_runs, 1);
        for (uint64_t at = 0; at < pages_to_bytes(m->nr_pages); at += MIB) {
                cr_assert_eq(fd_pread_full(m->sources[0].fd, buf, MIB, m->runs[0].file_offset_bytes + at), (ssize_t)MIB);
                XXH3_64bits_update(h, buf, MIB);
        }
        sum = XXH3_64bits_digest(h);
        XXH3_freeState(h);
        return sum;
}

static void assert_memory(const struct snapshot *s, json_object *x)
{
        json_object *window = json_object_array_get_idx(json_object_object_get(x, "windows"), 0);

        cr_assert_eq(s->layout.total_bytes, number(x, "total_bytes"));
        cr_assert_eq(s->layout.nr, json_object_array_length(json_object_object_get(x, "windows")));
        cr_assert_eq(s->layout.w[0].gpa, number(window, "gpa"));
        cr_assert_eq(s->layout.w[0].size_bytes, number(window, "size"));
        cr_assert_eq(s->pages.runs[0].file_offset_bytes, number(window, "file_offset"));
        cr_assert_eq(s->pages.nr_pages, bytes_to_pages(s->layout.total_bytes));
        cr_assert(!s->pages.zeros_known);
        cr_assert(!s->verifiable);
        cr_assert_eq(hash_of_ram(&s->pages), strtoull(json_object_get_string(json_object_object_get(x, "xxh3_64_of_all_ram")),
                                                      NULL, 16));
}

static void assert_zero_pages(const struct snapshot *s, json_object *x)
{
        _cleanup_(page_map_free) struct page_map m = { 0 };
        struct err                               e = { 0 };
        struct page_counts                       n;

        cr_assert_eq(page_index_build(&s->pages, NULL, &m, &e), 0, "%s", e.text);
        n = page_map_count(&m);
        cr_assert_eq(n.zero_pages, number(x, "zero_pages"));
        cr_assert_eq(n.raw_pages, number(x, "data_pages"));
        cr_assert(m.zeros_known);
        cr_assert_eq(page_map_check(&m, &e), 0, "%s", e.text);
}

static void assert_as_expected(const char *fixture)
{
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_sv_ struct sv_bytes       text = sv_load(fixture, "expect.json");
        struct err                         e = { 0 };
        json_object                       *x = json_tokener_parse((const char *)text.p), *memory;

        cr_assert_not_null(x);
        cr_assert_eq(snapshot_open(fixture_dir(fixture), &any, &s, &e), 0, "%s", e.text);
        cr_assert_eq(s.format, &format_stratovirt);
        cr_assert_str_eq(s.version, "generation 3, StratoVirt 2.5.0");
        cr_assert(identity_is_valid(&s.identity));
        cr_assert_eq(s.parent.s[0], '\0');
        assert_vcpus(&s.vm, x);
        assert_serial(&s.vm, json_object_object_get(x, "serial"));
        assert_platform(&s.vm.platform, json_object_object_get(x, "kvm"));
        assert_virtio(&s.vm, json_object_object_get(x, "virtio"));
        memory = json_object_object_get(x, "memory");
        assert_memory(&s, memory);
        assert_zero_pages(&s, memory);
        json_object_put(x);
}

Test(stratovirt, the_128m_fixture_decodes_to_what_another_decoder_found)
{
        assert_as_expected(FIXTURE);
}

Test(stratovirt, the_fixture_with_a_disk_in_use_decodes_to_what_another_decoder_found)
{
        assert_as_expected("stratovirt/microvm-128m-blk");
}

Test(stratovirt, the_fixture_with_two_vcpus_a_disk_and_a_card_decodes_to_what_another_decoder_found)
{
        assert_as_expected(TWO_VCPUS);
}

Test(stratovirt, the_busy_1g_fixture_decodes_to_what_another_decoder_found, .timeout = 120)
{
        assert_as_expected("stratovirt/microvm-1g-busy");
}

Test(stratovirt, a_vcpu_has_every_piece_that_the_file_has_and_not_the_stale_fpu)
{
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };
        const struct vcpu_state           *v;

        cr_assert_eq(snapshot_open(fixture_dir(FIXTURE), &any, &s, &e), 0, "%s", e.text);
        v = &s.vm.vcpus[0];
        cr_assert_eq(v->have, 1u << VCPU_MP_STATE | 1u << VCPU_SREGS | 1u << VCPU_REGS | 1u << VCPU_XSAVE | 1u << VCPU_XCRS |
                                      1u << VCPU_DEBUGREGS | 1u << VCPU_LAPIC | 1u << VCPU_MSRS | 1u << VCPU_EVENTS);
        cr_assert_eq(v->xsave_bytes, 4096);
        cr_assert_eq(v->cpuid_origin, CPUID_STRATOVIRT);
        cr_assert(v->topology.u8_offsets && v->topology.max_vcpus == 1 && v->topology.cores == 1 && v->topology.threads == 1 &&
                  v->topology.dies == 1 && v->topology.sockets == 1);
}

Test(stratovirt, vcpus_are_by_number_whatever_their_order_in_the_file)
{
        _cleanup_sv_ struct sv_bytes       state = sv_load(TWO_VCPUS, "state");
        _cleanup_sv_ struct sv_bytes       text = sv_load(TWO_VCPUS, "expect.json");
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };
        json_object                       *x = json_tokener_parse((const char *)text.p);
        size_t                             at = sv_record_at(&state, sv_nr_records(&state) - 3);
        uint8_t                            swap[24 + 10704];

        cr_assert_lt(at + 2 * sizeof(swap), state.len);
        memcpy(swap, state.p + at, sizeof(swap));
        memcpy(state.p + at, state.p + at + sizeof(swap), sizeof(swap));
        memcpy(state.p + at + sizeof(swap), swap, sizeof(swap));
        cr_assert_eq(open_with(&state, 256 * MIB, &s, &e), 0, "%s", e.text);
        assert_vcpus(&s.vm, x);
        cr_assert_eq(s.vm.vcpus[1].topology.max_vcpus, 2);
        json_object_put(x);
}

Test(stratovirt, a_device_that_rouse_does_not_have_is_refused_by_name)
{
        assert_edit_refused(0, "{\"name\":\"BlockState\"",
                            "{\"name\":\"PmemState\",\"alias\":11132511947722240446,\"size\":0,\"current_version\":256,"
                            "\"compat_version\":0,\"fields\":[]}{\"name\":\"BlockState\"",
                            "found a pmem device (PmemState); rouse has no such device");
}

Test(stratovirt, a_record_that_lacks_is_refused_by_name)
{
        for (int i = 0;; i++) {
                _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");
                size_t                       at = sv_record_at(&state, i),
                end = i + 1 < sv_nr_records(&state) ? sv_record_at(&state, i + 1) : state.len;
                uint64_t                     name;
                const bool                   last = end == state.len;

                memcpy(&name, state.p + at, sizeof(name));
                sv_cut(&state, at, end - at);
                if (name != 0x051e785959e9eb3c) /* the serial port may lack */
                        assert_refused(&state, "expected a record ");
                if (last)
                        break;
        }
}

Test(stratovirt, a_machine_without_a_serial_port_has_none_and_says_so)
{
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };

        sv_cut(&state, sv_record_at(&state, find_record(&state, "SerialState/serial")), 24 + 1048);
        cr_assert_eq(open_with(&state, FIXTURE_RAM, &s, &e), 0, "%s", e.text);
        cr_assert_null(vm_state_device(&s.vm, DEVICE_SERIAL));
        cr_assert_str_eq(s.notes[s.nr_notes - 1], "the machine has no serial port");
}

Test(stratovirt, a_record_that_is_there_twice_is_refused)
{
        for (int i = 0; i < 15; i++) {
                _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");
                size_t                       at = sv_record_at(&state, i), end = i < 14 ? sv_record_at(&state, i + 1) : state.len;

                state.p = realloc(state.p, state.len + end - at);
                memcpy(state.p + state.len, state.p + at, end - at);
                state.len += end - at;
                assert_refused(&state, "found a second");
        }
}

Test(stratovirt, bytes_after_the_last_record_are_refused)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");

        state.p = realloc(state.p, state.len + 40);
        memset(state.p + state.len, 0, 40);
        for (size_t more = 1; more <= 40; more++) {
                struct sv_bytes longer = { state.p, state.len + more };

                assert_refused(&longer, more < 24 ? "found " : "a record of a type that the file describes");
        }
}

Test(stratovirt, a_vcpu_number_that_is_missing_is_refused)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(TWO_VCPUS, "state");
        size_t                       at = sv_record_at(&state, sv_nr_records(&state) - 3);

        sv_cut(&state, at, 24 + 10704);
        assert_refused(&state, "X86CPUState/0");
}

Test(stratovirt, a_vcpu_beyond_254_is_refused)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");

        rename_record(&state, "X86CPUState/0", "X86CPUState/253");
        assert_refused(&state, "expected a record X86CPUState/0 since there is one of vCPU 253, found none");
        rename_record(&state, "X86CPUState/253", "X86CPUState/254");
        assert_refused(&state, "found X86CPUState/0 of an unknown name");
}

Test(stratovirt, a_transport_without_a_device_is_refused)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");

        rename_record(&state, "VirtioMmioState/3", "VirtioMmioState/my-vsock");
        assert_refused(&state, "expected a record VirtioMmioState/3, found none");
}

Test(stratovirt, a_record_of_an_unknown_name_is_refused)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");

        rename_record(&state, "BlockState/3", "BlockState/4");
        assert_refused(&state, "found BlockState of an unknown name");
}

Test(stratovirt, a_descriptor_whose_name_a_terminal_would_act_on_is_refused)
{
        assert_edit_refused(0, "\"name\":\"KvmDeviceState\"", "\"name\":\"Kvm\033[2JState\"",
                            "expected a descriptor with a name of printable characters");
}

Test(stratovirt, a_field_that_lacks_or_has_another_size_is_refused_by_name)
{
        assert_edit_refused(0, "\"var_name\":\"sregs\"", "\"var_name\":\"sregz\"",
                            "X86CPUState/0: expected a field \"sregs\", found none");
        assert_edit_refused(0, "\"offset\":160,\"size\":312", "\"offset\":160,\"size\":320",
                            "field \"sregs\": expected 312 bytes, found 320");
        assert_edit_refused(0, "\"offset\":160,\"size\":312", "\"offset\":10600,\"size\":312",
                            "field \"sregs\": expected it inside the 10704 bytes");
        assert_edit_refused(0, "\"offset\":160,\"size\":312", "\"offset\":100,\"size\":312",
                            "field \"sregs\": expected a place of its own");
        assert_edit_refused(0, "\"var_name\":\"thr_pending\"", "\"var_name\":\"thr\"",
                            "SerialState: expected a field \"thr_pending\"");
        assert_edit_refused(0, "\"var_name\":\"ioapic\"", "\"var_name\":\"iopic\"",
                            "KvmDeviceState: expected a field \"ioapic\"");
}

Test(stratovirt, fields_are_found_where_the_file_says_they_are)
{
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };
        uint8_t                           *body;

        sv_edit(&state, 0, "\"var_name\":\"lcr\"", "\"var_name\":\"LCR\"");
        sv_edit(&state, 0, "\"var_name\":\"scr\"", "\"var_name\":\"lcr\"");
        sv_edit(&state, 0, "\"var_name\":\"LCR\"", "\"var_name\":\"scr\"");
        body = state.p + sv_record_at(&state, find_record(&state, "SerialState/serial")) + 24;
        body[1034] = 0x11; /* where lcr was, is scr now */
        body[1038] = 0x22;
        cr_assert_eq(open_with(&state, FIXTURE_RAM, &s, &e), 0, "%s", e.text);
        cr_assert_eq(s.vm.devices[0].u.serial.lcr, 0x22);
        cr_assert_eq(s.vm.devices[0].u.serial.scr, 0x11);
}

/* Both files must name the same one, so memory's is set too. */
static void write_with_vendor(const struct tmpdir *t, const char *vendor)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state"), memory = { 0 };
        _cleanup_close_ int          fd = -1;

        sv_set_vendor(&state, vendor);
        tmpdir_write(t, "state", state.p, state.len);
        sv_write_memory(t, FIXTURE_RAM, NULL, NULL);
        fd = openat(t->fd, "memory", O_RDWR | O_CLOEXEC);
        memory = (struct sv_bytes){ calloc(1, PAGE_BYTES), PAGE_BYTES };
        cr_assert_eq(fd_pread_full(fd, memory.p, memory.len, 0), (ssize_t)memory.len);
        sv_set_vendor(&memory, vendor);
        cr_assert_eq(fd_pwrite_full(fd, memory.p, memory.len, 0), 0);
}

Test(stratovirt, a_cpu_of_another_vendor_is_a_note_that_says_what_may_fail)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };

        write_with_vendor(&t, "CentaurHauls");
        cr_assert_eq(snapshot_open(t.path, &any, &s, &e), 0, "%s", e.text);
        cr_assert_eq(s.nr_notes, 1);
        cr_assert_eq(strncmp(s.notes[0], "saved on a CentaurHauls CPU, this host is ", 42), 0, "%s", s.notes[0]);
        cr_assert_not_null(strstr(s.notes[0], ": a guest that uses what only the other has will fail"), "%s", s.notes[0]);
}

Test(stratovirt, files_from_cpus_of_two_vendors_are_refused)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");

        sv_set_vendor(&state, "CentaurHauls");
        assert_refused(&state, "memory: offset 8: cpu_model: expected \"CentaurHauls\" as in state, found \"GenuineIntel\"");
}

/* --- generations --- */

Test(stratovirt, generation_1_is_refused_by_name)
{
        struct sv_bytes state = { (uint8_t[200]){ "STRATOVIRT" }, 200 };

        assert_refused(&state, "found generation 1 (StratoVirt 2.2 or older), which rouse does not read");
}

Test(stratovirt, a_development_build_between_two_generations_is_refused_by_name)
{
        assert_edit_refused(0, "\"size\":1048,\"current_version\"", "\"size\":0,\"current_version\"",
                            "a development build between StratoVirt 2.4 and 2.5");
}

/* --- memory --- */

static void assert_memory_refused(uint64_t total, const char *from, const char *to, const char *message)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };

        tmpdir_write(&t, "state", state.p, state.len);
        sv_write_memory(&t, total, from, to);
        cr_assert_eq(snapshot_open(t.path, &any, &s, &e), -EBADMSG, "%s -> %s", from, to);
        cr_assert_not_null(strstr(e.text, message), "expected '%s' in '%s'", message, e.text);
        cr_assert_not_null(strstr(e.text, ": memory: "), "%s", e.text);
}

Test(stratovirt, memory_above_3_gib_lies_in_two_windows_at_ascending_file_offsets)
{
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };

        cr_assert_eq(open_with(&state, 5 * GIB, &s, &e), 0, "%s", e.text);
        cr_assert_eq(s.layout.nr, 2);
        cr_assert(s.layout.w[0].gpa == 0 && s.layout.w[0].size_bytes == 3 * GIB && s.layout.w[0].ram_offset_bytes == 0);
        cr_assert(s.layout.w[1].gpa == 4 * GIB && s.layout.w[1].size_bytes == 2 * GIB &&
                  s.layout.w[1].ram_offset_bytes == 3 * GIB);
        cr_assert_eq(s.pages.runs[0].nr_pages, bytes_to_pages(5 * GIB));
        cr_assert_eq(s.pages.runs[0].file_offset_bytes, 8192);
}

Test(stratovirt, a_table_of_ram_that_is_not_a_microvms_is_refused)
{
        const uint64_t m = 16 * MIB;

        assert_memory_refused(m, "\"total_region_size\":16777216", "\"total_region_size\":16777217",
                              "expected 1048576 to 549755813888 bytes of RAM");
        assert_memory_refused(m, "\"total_region_size\":16777216", "\"total_region_size\":4096", "bytes of RAM");
        assert_memory_refused(m, "\"total_region_size\":16777216", "\"total_region_size\":18446744073709547520", "bytes of RAM");
        assert_memory_refused(m, "\"total_region_size\":16777216", "\"total_region_size\":33554432",
                              "expected 33554432 bytes of RAM at offset 0");
        assert_memory_refused(m, "DefaultRam\",\"offset\":0", "DefaultRam\",\"offset\":4096", "16777216 at 4096");
        assert_memory_refused(m, "DefaultRam", "OtherRam", "found one of another name");
        assert_memory_refused(m, "\"alias_offset\":0,\"offset\":0", "\"alias_offset\":0,\"offset\":4096",
                              "memory window 0: expected gpa 0");
        assert_memory_refused(m, "\"alias_offset\":0", "\"alias_offset\":4096", "RAM offset 0x1000");
        assert_memory_refused(m, "\"ram_region_state\":[{",
                              "\"ram_region_state\":[{\"name\":\"a\",\"offset\":0,\"size\":4096},{", "found more");
        assert_memory_refused(m, "\"alias_region_state\":[{", "\"alias_region_state\":[],\"x\":[{", "expected 1 memory windows");
        assert_memory_refused(4 * GIB, "\"offset\":4294967296", "\"offset\":3221225472",
                              "memory window 1: expected gpa 0x100000000");
}

/* The file of the fixture's table, cut or grown to that many bytes. */
static void assert_size_refused(int64_t more, const char *message)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_close_ int                fd = -1;
        struct err                         e = { 0 };

        tmpdir_write(&t, "state", state.p, state.len);
        sv_write_memory(&t, FIXTURE_RAM, NULL, NULL);
        fd = openat(t.fd, "memory", O_RDWR | O_CLOEXEC);
        cr_assert_eq(ftruncate(fd, (off_t)(FIXTURE_RAM + 12288) + more), 0);
        cr_assert_eq(snapshot_open(t.path, &any, &s, &e), -EBADMSG, "%" PRId64, more);
        cr_assert_not_null(strstr(e.text, ": memory: offset "), "%s", e.text);
        cr_assert_not_null(strstr(e.text, message), "%" PRId64 ": expected '%s' in '%s'", more, message, e.text);
}

Test(stratovirt, a_memory_file_that_is_cut_short_or_too_long_is_refused_with_both_sizes)
{
        assert_size_refused(-1, "expected 134230016 bytes, found 134230015");
        assert_size_refused(-4096, "expected 134230016 bytes, found 134225920");
        assert_size_refused(-4097, "expected 134217728 bytes of RAM from offset 8192 on");
        assert_size_refused(-(int64_t)FIXTURE_RAM - 4096, "found a file of 8192 bytes");
        assert_size_refused(-(int64_t)FIXTURE_RAM - 4097, "expected 4096 bytes of a table");
        assert_size_refused(-(int64_t)FIXTURE_RAM - 8192, "a table");
        assert_size_refused(-(int64_t)FIXTURE_RAM - 12288, "the header");
        assert_size_refused(1, "expected the file to end after 134230016 bytes, found 134230017");
        assert_size_refused(4096, "expected the file to end");
}

Test(stratovirt, a_list_of_further_regions_after_ram_is_refused)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_close_ int                fd = -1;
        struct err                         e = { 0 };
        static const char                  list[] = "\x1b\0\0\0\0\0\0\0{\"region_states\":[{\"a\":1}]}";

        tmpdir_write(&t, "state", state.p, state.len);
        sv_write_memory(&t, FIXTURE_RAM, NULL, NULL);
        fd = openat(t.fd, "memory", O_RDWR | O_CLOEXEC);
        cr_assert_eq(fd_pwrite_full(fd, list, sizeof(list) - 1, FIXTURE_RAM + 8192), 0);
        cr_assert_eq(snapshot_open(t.path, &any, &s, &e), -EBADMSG);
        cr_assert_not_null(strstr(e.text, "expected an empty list of further regions"), "%s", e.text);
}

Test(stratovirt, the_identity_follows_state_bytes_and_the_memory_files_size_and_time)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_sv_ struct sv_bytes   state = sv_load(FIXTURE, "state");
        struct timespec                times[2] = { { 1, 0 }, { 1000, 5 } };
        struct identity                id[3];
        struct err                     e = { 0 };
        char                           expected[IDENTITY_MAX];
        XXH128_hash_t                  h = XXH3_128bits(state.p, state.len);

        for (int i = 0; i < 3; i++) {
                _cleanup_snapshot_ struct snapshot s = { 0 };

                state.p[state.len - 1] ^= i == 2; /* of an interrupt's redirection: another state */
                tmpdir_write(&t, "state", state.p, state.len);
                sv_write_memory(&t, FIXTURE_RAM, NULL, NULL);
                times[1].tv_nsec = i ? 6 : 5;
                cr_assert_eq(utimensat(t.fd, "memory", times, 0), 0);
                cr_assert_eq(snapshot_open(t.path, &any, &s, &e), 0, "%s", e.text);
                id[i] = s.identity;
        }
        snprintf(expected, sizeof(expected), "%016" PRIx64 "%016" PRIx64 "-134230016-1000000000005", (uint64_t)h.high64,
                 (uint64_t)h.low64);
        cr_assert_str_eq(id[0].s, expected);
        cr_assert(!identity_equal(&id[0], &id[1]) && !identity_equal(&id[1], &id[2]));
}
