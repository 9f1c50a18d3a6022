/* test_stratovirt_g2: snapshots of generation 2, as tests/support/sv_generation2.c writes them, are the machines that they were
 * made of. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/format.h"
#include "formats/siphash.h"
#include "tests/support/fixture.h"
#include "tests/support/sv_generation2.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define _cleanup_snapshot_ _cleanup_(snapshot_close)
#define FIXTURE            "stratovirt/microvm-128m-blk"
#define RAM                (128 * MIB)
#define TRANSPORT_BYTES    (16 + 2080) /* of each of the first six records */

static const struct snapshot_open_options any = { 0 };

static struct snapshot open_fixture(const char *name)
{
        struct snapshot s = { 0 };
        struct err      e = { 0 };

        cr_assert_eq(snapshot_open(fixture_dir(name), &any, &s, &e), 0, "%s", e.text);
        return s;
}

static void write_memory(const struct tmpdir *t, const struct sv_bytes *head, uint64_t file_bytes)
{
        tmpdir_write(t, "memory", head->p, head->len);
        cr_assert_eq(fchmodat(t->fd, "memory", 0600, 0), 0);
        _cleanup_close_ int fd = openat(t->fd, "memory", O_RDWR | O_CLOEXEC);

        cr_assert_eq(ftruncate(fd, (off_t)file_bytes), 0);
}

static struct mem_layout layout_of(uint64_t bytes)
{
        struct mem_layout l = { 0 };

        cr_assert_eq(mem_layout_add(&l, 0, MIN(bytes, 3 * GIB), NULL), 0);
        if (bytes > 3 * GIB)
                cr_assert_eq(mem_layout_add(&l, 4 * GIB, bytes - 3 * GIB, NULL), 0);
        return l;
}

static int open_with(const struct sv_bytes *state, uint64_t ram_bytes, struct snapshot *ret, struct err *e)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct mem_layout              l = layout_of(ram_bytes);
        _cleanup_sv_ struct sv_bytes   head = sv2_memory_head(&l);

        tmpdir_write(&t, "state", state->p, state->len);
        write_memory(&t, &head, 8192 + ram_bytes);
        return snapshot_open(t.path, &any, ret, e);
}

/* What generation 2 cannot say is as its reader makes it. */
static void forget_what_generation_2_has_not(struct vm_state *vm)
{
        for (uint32_t i = 0; i < vm->nr_vcpus; i++)
                vm->vcpus[i].topology.u8_offsets = false;
}

static void assert_comes_back(const struct vm_state *vm, const struct sv2_options *o)
{
        _cleanup_sv_ struct sv_bytes       state = sv2_state(vm, o);
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };
        char                               what[80] = "";

        cr_assert_eq(open_with(&state, RAM, &s, &e), 0, "%s", e.text);
        cr_assert(vm_state_equal(vm, &s.vm, what), "%s", what);
        cr_assert_str_eq(s.version, o->v23 ? "generation 2, StratoVirt 2.3.0" : "generation 2, StratoVirt 2.4.0");
}

static void assert_refused(const struct sv_bytes *state, const char *message)
{
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };

        cr_assert_eq(open_with(state, RAM, &s, &e), -EBADMSG, "expected '%s'", message);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, message), "expected '%s' in '%s'", message, e.text);
}

static uint64_t hash_of(int fd, uint64_t offset_bytes, uint64_t len)
{
        _cleanup_free_ uint8_t *buf = malloc(len);

        cr_assert_eq(fd_pread_full(fd, buf, len, offset_bytes), (ssize_t)len);
        return XXH3_64bits(buf, len);
}

Test(stratovirt_g2, each_fixture_converted_is_the_same_machine, .timeout = 120)
{
        static const char *const fixtures[] = { "stratovirt/microvm-128m", FIXTURE, "stratovirt/microvm-256m-smp2-blk-net" };

        for (size_t i = 0; i < ARRAY_LEN(fixtures); i++) {
                _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
                _cleanup_snapshot_ struct snapshot a = open_fixture(fixtures[i]), b = { 0 };
                struct err                         e = { 0 };
                char                               what[80] = "", path[PATH_MAX + 8];

                snprintf(path, sizeof(path), "%s/g2", t.path);
                cr_assert_eq(sv2_convert(fixture_dir(fixtures[i]), path), 0);
                cr_assert_eq(snapshot_open(path, &any, &b, &e), 0, "%s", e.text);
                forget_what_generation_2_has_not(&a.vm);
                cr_assert(vm_state_equal(&a.vm, &b.vm, what), "%s", what);
                cr_assert_str_eq(b.version, "generation 2, StratoVirt 2.4.0");
                cr_assert_eq(b.layout.total_bytes, a.layout.total_bytes);
                cr_assert(b.layout.nr == 1 && b.pages.nr_runs == 1 && b.pages.runs[0].file_offset_bytes == 8192);
                cr_assert_eq(hash_of(b.pages.sources[0].fd, 8192, b.layout.total_bytes),
                             hash_of(a.pages.sources[0].fd, 8192, a.layout.total_bytes));
        }
}

/* That the writer is right can be seen in one number: this is the length in a snapshot that a real 2.4.0 took. */
Test(stratovirt_g2, the_descriptors_of_two_vcpus_are_as_long_as_a_real_ones)
{
        _cleanup_snapshot_ struct snapshot s = open_fixture("stratovirt/microvm-256m-smp2-blk-net");
        const struct sv2_options           o = { 0 };
        _cleanup_sv_ struct sv_bytes       state = sv2_state(&s.vm, &o);

        cr_assert_eq(sv_records_at(&state), 4096 + 5698);
}

Test(stratovirt_g2, both_layouts_of_a_transport_are_told_apart)
{
        _cleanup_snapshot_ struct snapshot s = open_fixture(FIXTURE);

        forget_what_generation_2_has_not(&s.vm);
        for (int i = 0; i < 8; i++) {
                const struct sv2_options o = { .old_layout = i & 1, .nets_by_slot = i & 2, .v23 = i & 4 };

                assert_comes_back(&s.vm, &o);
        }
}

/* The worst there is for telling them apart: where one layout has the sizes of queues, the other has counters that look like
 * sizes. */
Test(stratovirt_g2, layouts_are_told_apart_whatever_the_counters_of_active_queues_are)
{
        _cleanup_snapshot_ struct snapshot s = open_fixture(FIXTURE);

        forget_what_generation_2_has_not(&s.vm);
        for (uint32_t i = 1; i < s.vm.nr_devices; i++) {
                struct virtio_state *v = &s.vm.devices[i].u.virtio;

                v->activated = true;
                v->status = 15;
                for (unsigned k = 0; k < v->nr_queues; k++)
                        v->queues[k] = (struct virtqueue_state){ 0x100000, 0x200000, 0x300000, 256, 256, 512, 512, true };
        }
        for (int i = 0; i < 2; i++) {
                const struct sv2_options o = { .old_layout = i };

                assert_comes_back(&s.vm, &o);
        }
}

Test(stratovirt_g2, requests_in_flight_are_kept)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot a = open_fixture(FIXTURE), b = { 0 };
        const struct virtqueue_state      *q, *was = &vm_state_virtio(&a.vm, 0)->queues[0];
        struct err                         e = { 0 };
        char                               path[PATH_MAX + 8];
        uint16_t                           used[2];

        snprintf(path, sizeof(path), "%s/g2", t.path);
        cr_assert_eq(sv2_convert_in_flight(fixture_dir(FIXTURE), path, 0, 1), 0);
        cr_assert_eq(snapshot_open(path, &any, &b, &e), 0, "%s", e.text);
        q = &vm_state_virtio(&b.vm, 0)->queues[0];
        cr_assert_eq(q->next_avail, was->next_avail);
        cr_assert_eq(q->next_used, (uint16_t)(was->next_used - 1));
        cr_assert_eq(fd_pread_full(a.pages.sources[0].fd, &used[0], 2, 8192 + q->used_gpa + 2), 2);
        cr_assert_eq(fd_pread_full(b.pages.sources[0].fd, &used[1], 2, 8192 + q->used_gpa + 2), 2);
        cr_assert(used[0] == was->next_used && used[1] == q->next_used);
}

/* --- devices beside the six slots --- */

static struct virtio_state *add(struct vm_state *vm, enum virtio_kind kind, uint16_t nr_queues)
{
        struct virtio_state *v = &vm_state_add_device(vm, DEVICE_VIRTIO, "")->u.virtio;

        *v = (struct virtio_state){ .kind = kind, .slot = VIRTIO_SLOT_UNKNOWN, .device_features = 0x100000003,
                                    .driver_features = 0x100000002,
                                    .status = 15, .activated = true, .nr_queues = nr_queues };
        for (unsigned i = 0; i < nr_queues; i++)
                v->queues[i] = (struct virtqueue_state){ 0x100000 + i * 0x10000, 0x101000 + i * 0x10000, 0x102000 + i * 0x10000,
                                                         128, 256, 77, 77, true };
        return v;
}

Test(stratovirt_g2, a_vsock_a_console_and_an_rng_come_back_without_a_slot)
{
        _cleanup_snapshot_ struct snapshot s = open_fixture(FIXTURE);
        struct virtio_state               *v;

        forget_what_generation_2_has_not(&s.vm);
        v = add(&s.vm, VIRTIO_VSOCK, 3);
        v->u.vsock.guest_cid = 42;
        v->broken = true;
        v = add(&s.vm, VIRTIO_CONSOLE, 2 * 15 + 2);
        v->u.console = (struct virtio_console_state){ 80, 25, 15, { { 0 } } };
        for (int i = 0; i < 15; i++)
                v->u.console.ports[i] = (struct virtio_console_port_state){ true, true };
        v = add(&s.vm, VIRTIO_RNG, 0);
        *v = (struct virtio_state){ .kind = VIRTIO_RNG, .slot = VIRTIO_SLOT_UNKNOWN, .no_transport = true,
                                    .device_features = 1ULL << 32,
                                    .driver_features = 1ULL << 32, .nr_queues = 1,
                                    .queues = { { .size = 256, .max_size = 256 } } };
        for (int i = 0; i < 2; i++) {
                const struct sv2_options o = { .old_layout = i };

                assert_comes_back(&s.vm, &o);
        }
}

Test(stratovirt_g2, a_machine_of_254_vcpus_comes_back)
{
        _cleanup_snapshot_ struct snapshot s = open_fixture(FIXTURE);
        struct vcpu_state                  one = s.vm.vcpus[0], *all = calloc(VCPUS_MAX, sizeof(*all)), *mine = s.vm.vcpus;
        const struct sv2_options           o = { 0 };

        for (uint32_t i = 0; i < VCPUS_MAX; i++) {
                all[i] = one;
                all[i].apic_id = i;
                all[i].regs.rip = i;
                all[i].topology = (struct cpu_topology){ VCPUS_MAX, 1, VCPUS_MAX, 1, 1, false };
        }
        s.vm.vcpus = all;
        s.vm.nr_vcpus = VCPUS_MAX;
        assert_comes_back(&s.vm, &o);
        s.vm.vcpus = mine;
        s.vm.nr_vcpus = 1;
        free(all);
}

/* --- what is refused --- */

/* The fixture as generation 2, one number of which is another. at: from the first record on. */
static void assert_change_refused(size_t at, uint64_t value, size_t size, const char *message)
{
        _cleanup_snapshot_ struct snapshot s = open_fixture(FIXTURE);
        const struct sv2_options           o = { 0 };
        _cleanup_sv_ struct sv_bytes       state = sv2_state(&s.vm, &o);

        memcpy(state.p + sv_records_at(&state) + at, &value, size);
        assert_refused(&state, message);
}

/* Slot 0 is the last of the six transports. */
#define SLOT_0 (5 * TRANSPORT_BYTES + 16)

Test(stratovirt_g2, registers_and_queues_that_are_none_are_refused)
{
        assert_change_refused(SLOT_0 + 0, 33, 8, "in one of the two layouts");
        assert_change_refused(SLOT_0 + 0, 2, 8, "virtio slot 0: expected 1 activated queues (queue_num), found 2");
        assert_change_refused(SLOT_0 + 8 + 48, 100, 2, "in one of the two layouts");
        assert_change_refused(SLOT_0 + 8 + 64 + 48, 256, 2, "virtio slot 0: expected 1 queues of a blk device, found 2");
        assert_change_refused(SLOT_0 + 8 + 60, 2, 1, "queue 0: expected ready 0 or 1, found 2");
        assert_change_refused(SLOT_0 + 2079, 2, 1, "in one of the two layouts");
        assert_change_refused(SLOT_0 + 2079, 0, 1, "virtio slot 0: expected device_status without DRIVER_OK");
        assert_change_refused(SLOT_0 + 2068, 0x0b, 4, "virtio slot 0: expected device_status with DRIVER_OK");
        assert_change_refused(SLOT_0 + 2064, 4, 4, "virtio slot 0: expected interrupt_status 0 to 3, found 0x4");
        assert_change_refused(SLOT_0 + 2076, 2, 2, "virtio slot 0: expected queue_type 1 (split), found 2");
        assert_change_refused(SLOT_0 + 8 + 0, 0, 8,
                              "virtio slot 0 queue 0: expected descriptors, available and used ring aligned and in RAM");
        assert_change_refused(SLOT_0 + 8 + 8, 0x1028181, 8, "expected descriptors, available and used ring");
        assert_change_refused(SLOT_0 + 8 + 16, 0xc0000000, 8, "expected descriptors, available and used ring");
        assert_change_refused(SLOT_0 + 8 + 16, UINT64_MAX - 3, 8, "expected descriptors, available and used ring");
        assert_change_refused(SLOT_0 + 8 + 50, 7, 2, "virtio slot 0 queue 0: expected a power of two up to 256 entries, found 7");
        assert_change_refused(SLOT_0 + 8 + 50, 512, 2, "expected a power of two up to 256 entries, found 512");
        assert_change_refused(SLOT_0 + 8 + 54, 12, 2,
                              "expected at most 8 requests in flight, found 9 (next_avail 12, next_used 3)");
        assert_change_refused(SLOT_0 + 8 + 54, 2, 2, "expected at most 8 requests in flight, found 65535");
}

/* Behind the transports: VirtioNetState/1 and /0, then BlockState/3 and so on. */
#define NET_5   (6 * TRANSPORT_BYTES + 16)
#define BLOCK_0 (6 * TRANSPORT_BYTES + 2 * (16 + 40) + 3 * (16 + 80) + 16)

Test(stratovirt_g2, features_and_flags_that_are_none_are_refused)
{
        assert_change_refused(BLOCK_0 + 76, 2, 1, "broken: expected 0 or 1, found 2");
        assert_change_refused(NET_5 + 33, 0xff, 1, "broken: expected 0 or 1, found 255");
        assert_change_refused(BLOCK_0 + 8, 0x100000001, 8,
                              "virtio slot 0: expected driver_features among the offered 0x130000204, found 0x1 more");
        assert_change_refused(BLOCK_0 + 16, UINT64_MAX, 8, "disk: expected at most");
}

Test(stratovirt_g2, a_topology_that_no_byte_holds_is_refused)
{
        const size_t vcpu = BLOCK_0 + 80 + 16 + 1048 + 16;

        assert_change_refused(vcpu, 256, 4, "expected a topology of 1 vCPUs or more, found max_vcpus 256");
        assert_change_refused(vcpu + 4, 0, 4, "of 0 threads");
}

Test(stratovirt_g2, a_state_that_is_cut_anywhere_is_refused)
{
        _cleanup_snapshot_ struct snapshot s = open_fixture(FIXTURE);
        const struct sv2_options           o = { 0 };
        _cleanup_sv_ struct sv_bytes       state = sv2_state(&s.vm, &o);

        for (size_t len = 4096; len < state.len; len += 371) {
                struct sv_bytes cut = { state.p, len };

                assert_refused(&cut, "; the file is ");
        }
}

static void assert_memory_refused(size_t at, uint64_t value, int64_t more_bytes, const char *message)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_fixture(FIXTURE), found = { 0 };
        const struct sv2_options           o = { 0 };
        _cleanup_sv_ struct sv_bytes       state = sv2_state(&s.vm, &o), head = sv2_memory_head(&s.layout);
        struct err                         e = { 0 };

        memcpy(head.p + 4096 + at, &value, sizeof(value));
        tmpdir_write(&t, "state", state.p, state.len);
        write_memory(&t, &head, (uint64_t)((int64_t)(8192 + RAM) + more_bytes));
        cr_assert_eq(snapshot_open(t.path, &any, &found, &e), -EBADMSG, "expected '%s'", message);
        cr_assert_not_null(strstr(e.text, message), "expected '%s' in '%s'", message, e.text);
        cr_assert_not_null(strstr(e.text, ": memory: "), "%s", e.text);
}

Test(stratovirt_g2, a_table_of_ram_that_is_not_a_microvms_is_refused)
{
        assert_memory_refused(0, 0, 0, "expected one block of RAM, found 0");
        assert_memory_refused(0, 17, 0, "expected one block of RAM, found 17");
        assert_memory_refused(16, RAM + 1, 0, "bytes of RAM");
        assert_memory_refused(16, RAM + 4096, 0, "memory window 0: expected gpa 0, 134221824 bytes");
        assert_memory_refused(24, 4096, 0, "expected RAM at whole pages from offset 8192 on, found it at 4096");
        assert_memory_refused(24, 8193, 0, "expected RAM at whole pages");
        assert_memory_refused(24, UINT64_MAX - 4095, 0, "bytes of RAM from offset 18446744073709547520 on");
        assert_memory_refused(24, 12288, 0, "it is cut short");
        assert_memory_refused(392, 0, 0, "expected 1 memory windows");
        assert_memory_refused(392, 3, 0, "expected at most 2 memory windows, found 3");
        assert_memory_refused(400, 4096, 0, "memory window 0");
        assert_memory_refused(416, 4096, 0, "memory window 0");
        assert_memory_refused(8, 0, -1, "it is cut short");
        assert_memory_refused(8, 0, 1, "expected the file to end after 134225920 bytes, found 134225921");
        assert_memory_refused(8, 0, -(int64_t)RAM - 4096, "the table of RAM");
}

Test(stratovirt_g2, memory_above_3_gib_lies_in_two_windows)
{
        _cleanup_snapshot_ struct snapshot s = open_fixture(FIXTURE), found = { 0 };
        const struct sv2_options           o = { 0 };
        _cleanup_sv_ struct sv_bytes       state = sv2_state(&s.vm, &o);
        struct err                         e = { 0 };

        cr_assert_eq(open_with(&state, 5 * GIB, &found, &e), 0, "%s", e.text);
        cr_assert_eq(found.layout.nr, 2);
        cr_assert(found.layout.w[1].gpa == 4 * GIB && found.layout.w[1].ram_offset_bytes == 3 * GIB);
}

Test(stratovirt_g2, a_memory_of_the_other_generation_is_refused)
{
        _cleanup_snapshot_ struct snapshot s = open_fixture(FIXTURE), found = { 0 };
        const struct sv2_options           o = { 0 };
        _cleanup_sv_ struct sv_bytes       g2 = sv2_state(&s.vm, &o), g3 = sv_load(FIXTURE, "state");
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        struct err                         e = { 0 };

        assert_refused(&g3, "expected a table of RAM in JSON, found a binary one; this snapshot is of a development build");
        tmpdir_write(&t, "state", g2.p, g2.len);
        sv_write_memory(&t, RAM, NULL, NULL);
        cr_assert_eq(snapshot_open(t.path, &any, &found, &e), -EBADMSG);
        cr_assert_not_null(strstr(e.text, "expected one block of RAM"), "%s", e.text);
}

/* Generation 2 has no balloon record; a record of a type that only generation 3 has is of a build in between. */
Test(stratovirt_g2, a_balloon_is_refused)
{
        _cleanup_snapshot_ struct snapshot s = open_fixture(FIXTURE);
        const struct sv2_options           o = { 0 };
        _cleanup_sv_ struct sv_bytes       state = sv2_state(&s.vm, &o);
        const uint64_t                     header[2] = { siphash13_str("BalloonState/b"), siphash13_str("BalloonState") };
        char                               text[256];

        snprintf(text, sizeof(text),
                 "{\"name\":\"BalloonState\",\"alias\":%llu,\"size\":24,\"current_version\":256,\"compat_version\":0,"
                 "\"fields\":[]}{\"name\":\"BlockState\"", (unsigned long long)header[1]);
        sv_edit(&state, 0, "{\"name\":\"BlockState\"", text);
        state.p = realloc(state.p, state.len + 40);
        memcpy(state.p + state.len, header, sizeof(header));
        memset(state.p + state.len + 16, 0, 24);
        state.len += 40;
        assert_refused(&state, "found BalloonState of an unknown name");
}
