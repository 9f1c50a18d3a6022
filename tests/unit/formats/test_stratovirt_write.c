/* test_stratovirt_write: what is written is what StratoVirt 2.5.0 wrote, and what it cannot hold is refused. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/format.h"
#include "formats/siphash.h"
#include "formats/snapshot_writer.h"
#include "formats/stratovirt_bodies.h"
#include "tests/support/fixture.h"
#include "tests/support/sv_snapshot.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAIN     "stratovirt/microvm-128m"
#define DISK      "stratovirt/microvm-128m-blk"
#define SMP2      "stratovirt/microvm-256m-smp2-blk-net"
#define BUSY      "stratovirt/microvm-1g-busy"
#define RAM_PAGES (128 * MIB / PAGE_BYTES)

#define _cleanup_snapshot_ _cleanup_(snapshot_close)

static const struct snapshot_open_options any = { 0 };

static struct snapshot open_snapshot(const char *path)
{
        struct snapshot s = { 0 };
        struct err      e = { 0 };

        cr_assert_eq(snapshot_open(path, &any, &s, &e), 0, "%s", e.text);
        return s;
}

/* --- writing --- */

static struct snapshot_writer *begin(const char *path, uint64_t ram_pages)
{
        struct snapshot_writer_options o = { .path = path, .ram_pages = ram_pages };
        struct snapshot_writer        *w;
        struct err                     e = { 0 };

        cr_assert_eq(sv_writer_ops.new(&o, &w, &e), 0, "%s", e.text);
        return w;
}

/* The machine, with RAM that is all zeros. */
static struct identity write_state(const struct vm_state *vm, const struct mem_layout *l, const char *path)
{
        struct snapshot_writer *w = begin(path, bytes_to_pages(l->total_bytes));
        struct identity         id;
        struct err              e = { 0 };

        cr_assert_eq(sv_writer_ops.pages(w, NULL, bytes_to_pages(l->total_bytes), &e), 0, "%s", e.text);
        cr_assert_eq(sv_writer_ops.state(w, vm, l, &e), 0, "%s", e.text);
        cr_assert_eq(sv_writer_ops.commit(w, &id, &e), 0, "%s", e.text);
        sv_writer_ops.free(w);
        return id;
}

/* A fixture, decoded and written again at ret_path. */
static struct snapshot rewrite(const char *fixture, const struct tmpdir *t, char ret_path[PATH_MAX + 16])
{
        struct snapshot s = open_snapshot(fixture_dir(fixture));

        snprintf(ret_path, PATH_MAX + 16, "%s/snap", t->path);
        write_state(&s.vm, &s.layout, ret_path);
        return s;
}

static struct sv_bytes load(const char *dir, const char *name)
{
        char                path[PATH_MAX + 32];
        _cleanup_close_ int fd = -1;
        struct sv_bytes     b;
        void               *p;

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0, "%s: %m", path);
        cr_assert_eq(fd_read_all(fd, 16 * MIB, &p, &b.len), 0);
        b.p = p;
        return b;
}

/* --- comparing --- */

static uint64_t word(const uint8_t *p)
{
        uint64_t v;

        memcpy(&v, p, sizeof(v));
        return v;
}

struct record {
        uint64_t name, object, len;
        uint8_t *body;
};

static struct record record(const struct sv_bytes *state, int nth)
{
        uint8_t *p = state->p + sv_record_at(state, nth);

        return (struct record){ word(p), word(p + 8), word(p + 16), p + SV_RECORD_BYTES };
}

static struct record find_record(const struct sv_bytes *state, uint64_t name)
{
        for (int i = 0; i < sv_nr_records(state); i++)
                if (record(state, i).name == name)
                        return record(state, i);
        cr_assert_fail("no record %#llx", (unsigned long long)name);
        return (struct record){ 0 };
}

/* Numbers that are of use to the process that saved only: addresses after "_host", and the table of MACs. */
static char *neutral_text(const struct record *r)
{
        char *text = calloc(1, r->len + 1), *to = text;
        bool  in_table = false;

        cr_assert_not_null(text);
        for (uint64_t i = 0; i < r->len; i++) {
                char c = (char)r->body[i];

                *to++ = c;
                if (to - text > 8 && !memcmp(to - 8, "_host\":", 7) && c >= '0' && c <= '9') {
                        to[-1] = '#';
                        while (r->body[i + 1] >= '0' && r->body[i + 1] <= '9')
                                i++;
                }
                if (to - text >= 12 && !memcmp(to - 12, "\"used_mac\":[", 12))
                        in_table = true;
                if (in_table && c >= '0' && c <= '9')
                        to[-1] = '#';
        }
        return text;
}

/* What the kernel's structs have between their fields, and what StratoVirt has between its own, is whatever was there. */
static void neutral_bytes(struct record *r)
{
        if (r->object == siphash13_str("X86CPUState")) {
                memset(r->body + 5, 0, 3);
                memset(r->body + 12, 0, 4);
        }
        if (r->object == siphash13_str("SerialState"))
                memset(r->body + 1042, 0, 2);
        /* of the clock, only the guest's counts: the host's own times were read with it */
        if (r->object == siphash13_str("KvmDeviceState"))
                memset(r->body + offsetof(struct sv_kvm_body, kvm_clock) + 8, 0, sizeof(struct kvm_clock_data) - 8);
}

static void assert_record(struct record ours, struct record theirs)
{
        cr_assert_eq(ours.object, theirs.object);
        if (theirs.body[0] == '{') {
                _cleanup_free_ char *a = neutral_text(&ours), *b = neutral_text(&theirs);

                cr_assert_str_eq(a, b);
                return;
        }
        cr_assert_eq(ours.len, theirs.len);
        neutral_bytes(&ours);
        neutral_bytes(&theirs);
        for (uint64_t i = 0; i < theirs.len; i++)
                cr_assert_eq(ours.body[i], theirs.body[i], "record %#llx byte %llu: %#x and %#x", (unsigned long long)ours.name,
                             (unsigned long long)i, ours.body[i], theirs.body[i]);
}

static void assert_records(const struct sv_bytes *ours, const struct sv_bytes *theirs)
{
        cr_assert_eq(sv_nr_records(ours), sv_nr_records(theirs));
        for (int i = 0; i < sv_nr_records(ours); i++)
                assert_record(record(ours, i), find_record(theirs, record(ours, i).name));
}

/* The descriptor in `text` that begins at `at`, up to the next one. */
static size_t desc_len(const char *text, size_t at, size_t len)
{
        const char *next = memmem(text + at + 1, len - at - 1, "{\"name\":", 8);

        return next ? (size_t)(next - text) - at : len - at;
}

/* Their order is of no account (and another in each of StratoVirt's files); their bytes are. */
static void assert_descriptors(const struct sv_bytes *ours, const struct sv_bytes *theirs)
{
        const char *a = (char *)ours->p + SV_HEADER_BYTES, *b = (char *)theirs->p + SV_HEADER_BYTES;
        size_t      len = sv_records_at(ours) - SV_HEADER_BYTES, one;

        cr_assert_eq(len, sv_records_at(theirs) - SV_HEADER_BYTES);
        for (size_t at = 0; at < len; at += one) {
                one = desc_len(a, at, len);
                cr_assert_not_null(memmem(b, len, a + at, one), "%.*s", (int)one, a + at);
        }
}

/* 1: transports, 2: devices, 3: vCPUs, 4: what the vCPUs share. */
static int group_of(uint64_t object)
{
        if (object == siphash13_str("VirtioMmioState"))
                return 1;
        if (object == siphash13_str("X86CPUState"))
                return 3;
        return object == siphash13_str("KvmDeviceState") ? 4 : 2;
}

static void assert_groups(const struct sv_bytes *state)
{
        for (int i = 1; i < sv_nr_records(state); i++)
                cr_assert_leq(group_of(record(state, i - 1).object), group_of(record(state, i).object), "record %d", i);
        cr_assert_eq(record(state, sv_nr_records(state) - 1).name, siphash13_str("kvm"));
}

static void assert_as_stratovirt(const char *fixture)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        char                               path[PATH_MAX + 16], what[80] = "";
        _cleanup_snapshot_ struct snapshot theirs = rewrite(fixture, &t, path), ours = open_snapshot(path);
        _cleanup_sv_ struct sv_bytes       a = load(path, "state"), b = sv_load(fixture, "state");

        cr_assert(vm_state_equal(&ours.vm, &theirs.vm, what), "%s", what);
        cr_assert_str_eq(ours.version, theirs.version);
        cr_assert_arr_eq(a.p, b.p, SV_HEADER_BYTES);
        assert_descriptors(&a, &b);
        assert_records(&a, &b);
        assert_groups(&a);
        assert_groups(&b);
}

/* --- the state file --- */

Test(stratovirt_write, a_plain_machine_is_written_as_stratovirt_wrote_it)
{
        assert_as_stratovirt(PLAIN);
}

Test(stratovirt_write, a_machine_with_a_disk_in_use_is_written_as_stratovirt_wrote_it)
{
        assert_as_stratovirt(DISK);
}

Test(stratovirt_write, a_machine_of_two_vcpus_a_disk_and_a_card_is_written_as_stratovirt_wrote_it)
{
        assert_as_stratovirt(SMP2);
}

Test(stratovirt_write, a_machine_of_1_gib_is_written_as_stratovirt_wrote_it)
{
        assert_as_stratovirt(BUSY);
}

/* A machine that rouse booted has no virtio devices; StratoVirt always has six. */
Test(stratovirt_write, a_machine_without_virtio_devices_gets_the_six_that_are_always_there)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));
        _cleanup_sv_ struct sv_bytes       theirs = sv_load(PLAIN, "state");
        char                               path[PATH_MAX + 16];
        uint32_t                           nr = 0;

        for (uint32_t i = 0; i < s.vm.nr_devices; i++)
                if (s.vm.devices[i].kind == DEVICE_SERIAL)
                        s.vm.devices[nr++] = s.vm.devices[i];
        s.vm.nr_devices = nr;
        cr_assert_eq(nr, 1);
        snprintf(path, sizeof(path), "%s/snap", t.path);
        write_state(&s.vm, &s.layout, path);
        {
                _cleanup_sv_ struct sv_bytes ours = load(path, "state");

                assert_records(&ours, &theirs);
        }
}

Test(stratovirt_write, a_machine_without_a_serial_port_gets_no_record_of_one)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN)), again = { 0 };
        char                               path[PATH_MAX + 16];

        s.vm.nr_devices = 0;
        snprintf(path, sizeof(path), "%s/snap", t.path);
        write_state(&s.vm, &s.layout, path);
        again = open_snapshot(path);
        cr_assert_null(vm_state_device(&again.vm, DEVICE_SERIAL));
}

static struct serial_state *serial_of(struct vm_state *vm)
{
        for (uint32_t i = 0; i < vm->nr_devices; i++)
                if (vm->devices[i].kind == DEVICE_SERIAL)
                        return &vm->devices[i].u.serial;
        cr_assert_fail("no serial port");
        return NULL;
}

Test(stratovirt_write, received_bytes_are_kept_and_the_interrupt_is_one_that_stratovirt_knows)
{
        static const struct {
                uint8_t ours, theirs;
        } iirs[] = { { 0xc1, 1 }, { 0x01, 1 }, { 0xcc, 4 }, { 0x04, 4 }, { 0xc2, 2 }, { 0x06, 1 }, { 0x00, 1 } };
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        for (size_t i = 0; i < ARRAY_LEN(iirs); i++) {
                _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN)), again = { 0 };
                struct serial_state               *serial = serial_of(&s.vm);
                char                               path[PATH_MAX + 16];

                serial->rx_len = SERIAL_RX_MAX;
                for (unsigned int k = 0; k < SERIAL_RX_MAX; k++)
                        serial->rx[k] = (uint8_t)(k * 7);
                serial->iir = iirs[i].ours;
                snprintf(path, sizeof(path), "%s/snap-%zu", t.path, i);
                write_state(&s.vm, &s.layout, path);
                again = open_snapshot(path);
                cr_assert_eq(serial_of(&again.vm)->iir, iirs[i].theirs);
                cr_assert_eq(serial_of(&again.vm)->rx_len, SERIAL_RX_MAX);
                cr_assert_arr_eq(serial_of(&again.vm)->rx, serial->rx, SERIAL_RX_MAX);
        }
}

static struct virtio_state *add_device(struct vm_state *vm, enum virtio_kind kind, uint32_t slot, const char *id,
                                       uint16_t nr_queues)
{
        struct device_record *d = vm_state_add_device(vm, DEVICE_VIRTIO, id);
        struct virtio_state  *v = &d->u.virtio;

        cr_assert_not_null(d);
        v->kind = kind;
        v->slot = slot;
        v->device_features = 1ULL << 32;
        v->nr_queues = nr_queues;
        for (uint16_t i = 0; i < nr_queues; i++)
                v->queues[i] = (struct virtqueue_state){ .size = 128, .max_size = 128 };
        return v;
}

/* The slots of such devices are in no file of StratoVirt's. */
static void assert_optional_kept(struct snapshot *s, const char *dir)
{
        char                               path[PATH_MAX + 32], what[80] = "";
        _cleanup_snapshot_ struct snapshot again = { 0 };

        snprintf(path, sizeof(path), "%s/snap", dir);
        write_state(&s->vm, &s->layout, path);
        again = open_snapshot(path);
        for (uint32_t i = 0; i < s->vm.nr_devices; i++)
                if (s->vm.devices[i].kind == DEVICE_VIRTIO && s->vm.devices[i].u.virtio.slot >= SV_SLOTS)
                        s->vm.devices[i].u.virtio.slot = VIRTIO_SLOT_UNKNOWN;
        cr_assert(vm_state_equal(&s->vm, &again.vm, what), "%s", what);
}

Test(stratovirt_write, a_console_in_use_is_kept_with_its_queues)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));
        struct virtio_state               *v = add_device(&s.vm, VIRTIO_CONSOLE, 6, "", 4);

        v->activated = true;
        v->status = 15;
        v->device_features = v->driver_features = 1ULL << 32 | 2;
        v->u.console.max_ports = 1;
        v->u.console.ports[0] = (struct virtio_console_port_state){ .guest_connected = true, .host_connected = true };
        v->queues[1] = (struct virtqueue_state){ 0x1000, 0x2000, 0x3000, .size = 64, .max_size = 128, .next_avail = 65535,
        .next_used = 65534, .ready = true };
        assert_optional_kept(&s, t.path);
}

static void keep_text(void *arg, const char *text)
{
        snprintf(arg, 512, "%s", text);
}

/* A file holds only a hash of it, and StratoVirt leaves out the state of a device that has another. */
Test(stratovirt_write, the_name_that_a_device_must_have_in_stratovirt_is_said)
{
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));
        char                               said[512] = "";

        sv_writer_ops.advise(&s.vm, keep_text, said);
        cr_assert_str_empty(said);
        add_device(&s.vm, VIRTIO_CONSOLE, 6, "", 4);
        sv_writer_ops.advise(&s.vm, keep_text, said);
        cr_assert_not_null(strstr(said, "id=console0"), "%s", said);
}

Test(stratovirt_write, a_vsock_device_is_kept_with_its_queues)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));
        struct virtio_state               *v = add_device(&s.vm, VIRTIO_VSOCK, 6, "", 3);

        v->activated = true;
        v->status = 15;
        v->u.vsock.guest_cid = 3;
        v->queues[0] = (struct virtqueue_state){ 0x1000, 0x2000, 0x3000, .size = 64, .max_size = 128, .next_avail = 7,
                                                 .next_used = 7,
        .ready = true };
        assert_optional_kept(&s, t.path);
}

/* StratoVirt keeps neither registers nor queues of them. */
Test(stratovirt_write, an_rng_or_a_balloon_is_kept_while_the_guest_does_not_use_it_and_else_refused)
{
        static const enum virtio_kind kinds[] = { VIRTIO_RNG, VIRTIO_BALLOON };

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
                _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN)), again = { 0 };
                struct virtio_state               *v = add_device(&s.vm, kinds[i], 6, "", kinds[i] == VIRTIO_RNG ? 1 : 2);
                char                               path[PATH_MAX + 32];
                struct err                         e = { 0 };

                snprintf(path, sizeof(path), "%s/snap", t.path);
                write_state(&s.vm, &s.layout, path);
                again = open_snapshot(path);
                cr_assert_eq(again.vm.devices[again.vm.nr_devices - 1].u.virtio.kind, kinds[i]);
                v->activated = true;
                v->status = 15;
                cr_assert_eq(sv_writer_ops.check(&s.vm, &e), -ENOTSUP);
                cr_assert_not_null(strstr(e.text, virtio_kind_name(kinds[i])), "%s", e.text);
                cr_assert_not_null(strstr(e.text, "slot 6"), "%s", e.text);
        }
}

static struct virtio_state *slot_of(struct vm_state *vm, uint32_t slot)
{
        for (uint32_t i = 0; i < vm->nr_devices; i++)
                if (vm->devices[i].kind == DEVICE_VIRTIO && vm->devices[i].u.virtio.slot == slot)
                        return &vm->devices[i].u.virtio;
        cr_assert_fail("no slot %u", slot);
        return NULL;
}

/* As in StratoVirt's own files: it has no card without a link. */
Test(stratovirt_write, a_card_that_nobody_has_looked_at_gets_a_link)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN)), again = { 0 };
        char                               path[PATH_MAX + 32];

        slot_of(&s.vm, 4)->u.net.status = 0;
        slot_of(&s.vm, 5)->u.net.status = 0;
        slot_of(&s.vm, 5)->status = 3; /* a driver has begun with it */
        snprintf(path, sizeof(path), "%s/snap", t.path);
        write_state(&s.vm, &s.layout, path);
        again = open_snapshot(path);
        cr_assert_eq(slot_of(&again.vm, 4)->u.net.status, 1);
        cr_assert_eq(slot_of(&again.vm, 5)->u.net.status, 0);
}

Test(stratovirt_write, a_cards_filters_are_kept)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN)), again = { 0 };
        struct virtio_net_state           *n = &slot_of(&s.vm, 5)->u.net;
        char                               path[PATH_MAX + 32], what[80] = "";

        n->has_filters = n->promisc = n->nobcast = n->multi_overflow = true;
        n->nr_uni = 2;
        n->nr_multi = 1;
        memcpy(n->uni[1], "\x02\x03\x04\x05\x06\xff", 6);
        memcpy(n->multi[0], "\x33\x33\x00\x00\x00\x01", 6);
        n->vlans[0] = 0x81;
        n->vlans[511] = 0x40;
        snprintf(path, sizeof(path), "%s/snap", t.path);
        write_state(&s.vm, &s.layout, path);
        again = open_snapshot(path);
        cr_assert(vm_state_equal(&s.vm, &again.vm, what), "%s", what);
}

/* --- what it cannot hold --- */

/* The message names what is in the way. */
static void assert_refused(struct vm_state *vm, const char *message)
{
        struct err e = { 0 };

        cr_assert_eq(sv_writer_ops.check(vm, &e), -ENOTSUP, "%s", message);
        cr_assert_not_null(strstr(e.text, message), "expected '%s' in '%s'", message, e.text);
        cr_assert_not_null(strstr(e.text, "native format"), "%s", e.text);
}

static void assert_taken(const struct vm_state *vm)
{
        struct err e = { 0 };

        cr_assert_eq(sv_writer_ops.check(vm, &e), 0, "%s", e.text);
}

Test(stratovirt_write, xsave_beyond_4_kib_is_refused_only_where_it_is_used)
{
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));
        struct vcpu_state                 *v = &s.vm.vcpus[0];
        uint8_t                           *grown = realloc(v->xsave, 11008);
        uint64_t                           tiles = 1ULL << 18;

        cr_assert_not_null(grown);
        v->xsave = grown;
        v->xsave_bytes = 11008;
        memset(v->xsave + 4096, 0, 11008 - 4096);
        assert_taken(&s.vm);
        v->xsave[11007] = 1;
        assert_refused(&s.vm, "byte 11007 in use");
        v->xsave[11007] = 0;
        memcpy(v->xsave + 512, &tiles, sizeof(tiles));
        assert_refused(&s.vm, "AMX");
}

Test(stratovirt_write, nested_state_is_refused_only_where_it_is_used)
{
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));
        struct vcpu_state                 *v = &s.vm.vcpus[0];
        struct kvm_nested_state            n = { .size = sizeof(n), .format = KVM_STATE_NESTED_FORMAT_VMX };

        v->have |= 1u << VCPU_NESTED;
        v->nested_bytes = sizeof(n);
        v->nested = calloc(1, v->nested_bytes);
        n.hdr.vmx.vmxon_pa = UINT64_MAX;
        memcpy(v->nested, &n, sizeof(n));
        assert_taken(&s.vm);
        n.hdr.vmx.vmxon_pa = 0x1000;
        memcpy(v->nested, &n, sizeof(n));
        assert_refused(&s.vm, "hypervisor in the guest");
        n = (struct kvm_nested_state){ .size = sizeof(n), .format = KVM_STATE_NESTED_FORMAT_SVM };
        memcpy(v->nested, &n, sizeof(n));
        assert_taken(&s.vm);
        v->sregs.efer |= 1 << 12;
        assert_refused(&s.vm, "hypervisor in the guest");
        n.flags = KVM_STATE_NESTED_GIF_SET;
        memcpy(v->nested, &n, sizeof(n));
        assert_taken(&s.vm);
        n.flags |= KVM_STATE_NESTED_GUEST_MODE;
        memcpy(v->nested, &n, sizeof(n));
        assert_refused(&s.vm, "hypervisor in the guest");
}

static void set_msrs(struct vcpu_state *v, uint32_t nr, uint32_t first, uint64_t data)
{
        free(v->msrs);
        v->msrs = calloc(nr, sizeof(*v->msrs));
        cr_assert_not_null(v->msrs);
        v->nr_msrs = nr;
        for (uint32_t i = 0; i < nr; i++)
                v->msrs[i] = (struct kvm_msr_entry){ .index = first + i, .data = data };
}

Test(stratovirt_write, more_msrs_than_kvm_sets_at_once_are_refused)
{
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));

        set_msrs(&s.vm.vcpus[0], 255, 0x1000, 0);
        assert_taken(&s.vm);
        set_msrs(&s.vm.vcpus[0], 256, 0x1000, 0);
        assert_refused(&s.vm, "at most 255 MSRs, found 256");
}

/* StratoVirt leaves the first out; the second it does not know of, so only one that was set is worth a place. */
Test(stratovirt_write, vmx_capabilities_and_unset_mtrrs_are_left_out)
{
        static const struct kvm_msr_entry msrs[] = {
                { .index = 0x10, .data = 1 },  { .index = 0x480, .data = 2 }, { .index = 0x491, .data = 3 },
                { .index = 0x277, .data = 4 }, { .index = 0x200 },            { .index = 0x26f },
                { .index = 0x2ff, .data = 0xc00 },
        };
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN)), again = { 0 };
        struct vcpu_state                 *v = &s.vm.vcpus[0];
        char                               path[PATH_MAX + 16];

        set_msrs(v, ARRAY_LEN(msrs), 0, 0);
        memcpy(v->msrs, msrs, sizeof(msrs));
        snprintf(path, sizeof(path), "%s/snap", t.path);
        write_state(&s.vm, &s.layout, path);
        again = open_snapshot(path);
        cr_assert_eq(again.vm.vcpus[0].nr_msrs, 3);
        cr_assert_eq(again.vm.vcpus[0].msrs[0].index, 0x10);
        cr_assert_eq(again.vm.vcpus[0].msrs[1].index, 0x277);
        cr_assert_eq(again.vm.vcpus[0].msrs[2].index, 0x2ff);
}

/* The format has no record of the PICs. */
Test(stratovirt_write, a_guest_that_takes_interrupts_from_the_pics_is_refused)
{
        static const uint32_t              extint = 7u << 8;
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));
        struct platform_state             *p = &s.vm.platform;
        uint8_t                           *lvt0 = (uint8_t *)s.vm.vcpus[0].lapic.regs + 0x350;

        p->have |= 1u << PLATFORM_PIC_MASTER | 1u << PLATFORM_PIC_SLAVE;
        memcpy(lvt0, &extint, sizeof(extint));
        assert_taken(&s.vm); /* nobody programmed them */
        p->pic_master.irq_base = 0x20;
        p->pic_master.imr = 0xff;
        assert_taken(&s.vm); /* and nothing comes from them */
        p->pic_master.imr = 0xfe;
        assert_refused(&s.vm, "PICs");
        memcpy(lvt0, &(uint32_t){ extint | 1u << 16 }, sizeof(extint));
        assert_taken(&s.vm); /* nor in to the vCPU */
        s.vm.vcpus[0].sregs.apic_base &= ~(1ULL << 11);
        assert_refused(&s.vm, "PICs");
}

Test(stratovirt_write, a_piece_that_lacks_or_a_device_out_of_place_is_refused_by_name)
{
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));
        struct virtio_state               *v;

        s.vm.vcpus[0].have &= ~(1u << VCPU_XSAVE);
        assert_refused(&s.vm, "xsave");
        s.vm.vcpus[0].have |= 1u << VCPU_XSAVE;
        s.vm.platform.have &= ~(1u << PLATFORM_PIT);
        assert_refused(&s.vm, "pit");
        s.vm.platform.have |= 1u << PLATFORM_PIT;
        v = add_device(&s.vm, VIRTIO_VSOCK, 7, "v", 3);
        assert_refused(&s.vm, "found a gap");
        v->slot = 6;
        assert_taken(&s.vm);
        v->kind = VIRTIO_NET;
        assert_refused(&s.vm, "net device in slot 6");
        v->kind = VIRTIO_VSOCK;
        v = add_device(&s.vm, VIRTIO_VSOCK, 7, "v", 3);
        assert_refused(&s.vm, "two of \"v\"");
}

/* Asked before pages are written: the header is the last thing to be. */
Test(stratovirt_write, a_vm_whose_cpus_vendor_nobody_knows_is_refused)
{
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));

        assert_taken(&s.vm);
        memset(s.vm.cpu_vendor, 0, sizeof(s.vm.cpu_vendor));
        assert_refused(&s.vm, "vendor");
}

/* --- the memory file --- */

Test(stratovirt_write, what_stands_around_ram_is_what_stratovirt_wrote)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        char                               path[PATH_MAX + 16], memory[PATH_MAX + 32];
        _cleanup_snapshot_ struct snapshot s = rewrite(PLAIN, &t, path);
        static uint8_t                     ours[8192 + 4096], theirs[8192 + 4096];
        int                                fd;

        for (int i = 0; i < 2; i++) {
                uint8_t    *to = i ? theirs : ours;
                struct stat st;

                snprintf(memory, sizeof(memory), "%s/memory", i ? fixture_dir(PLAIN) : path);
                fd = open(memory, O_RDONLY | O_CLOEXEC);
                cr_assert(fd >= 0);
                cr_assert_eq(fstat(fd, &st), 0);
                cr_assert_eq(st.st_size, (off_t)(128 * MIB + 12288));
                cr_assert_eq(fd_pread_full(fd, to, 8192, 0), 8192);
                cr_assert_eq(fd_pread_full(fd, to + 8192, 4096, 128 * MIB + 8192), 4096);
                close(fd);
        }
        cr_assert_arr_eq(ours, theirs, sizeof(ours));
}

Test(stratovirt_write, pages_lie_at_their_place_and_zeros_are_holes)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));
        _cleanup_free_ uint8_t            *pages = calloc(8, PAGE_BYTES);
        struct snapshot_writer_counts      n;
        struct snapshot_writer            *w;
        struct stat                        st;
        char                               path[PATH_MAX + 16], memory[PATH_MAX + 32];
        uint8_t                            page[PAGE_BYTES];
        struct identity                    id;
        int                                fd;

        snprintf(path, sizeof(path), "%s/snap", t.path);
        w = begin(path, RAM_PAGES);
        memset(pages + 2 * PAGE_BYTES, 0xaa, 2 * PAGE_BYTES);
        pages[8 * PAGE_BYTES - 1] = 1;
        cr_assert_eq(sv_writer_ops.pages(w, NULL, 100, NULL), 0);
        cr_assert_eq(sv_writer_ops.pages(w, pages, 8, NULL), 0);
        cr_assert_eq(sv_writer_ops.pages(w, NULL, RAM_PAGES - 108, NULL), 0);
        cr_assert_eq(sv_writer_ops.state(w, &s.vm, &s.layout, NULL), 0);
        n = sv_writer_ops.counts(w);
        cr_assert_eq(n.data_pages, 3);
        cr_assert_eq(n.zero_pages, RAM_PAGES - 3);
        cr_assert_eq(sv_writer_ops.commit(w, &id, NULL), 0);
        sv_writer_ops.free(w);
        snprintf(memory, sizeof(memory), "%s/memory", path);
        fd = open(memory, O_RDONLY | O_CLOEXEC);
        cr_assert_eq(fstat(fd, &st), 0);
        cr_assert_lt(st.st_blocks * 512, (blkcnt_t)(1 * MIB));
        cr_assert_eq(fd_pread_full(fd, page, PAGE_BYTES, 8192 + 103 * PAGE_BYTES), (ssize_t)PAGE_BYTES);
        cr_assert_eq(page[0], 0xaa);
        cr_assert_eq(fd_pread_full(fd, page, PAGE_BYTES, 8192 + 107 * PAGE_BYTES), (ssize_t)PAGE_BYTES);
        cr_assert_eq(page[PAGE_BYTES - 1], 1);
        close(fd);
}

Test(stratovirt_write, ram_above_3_gib_is_two_windows_the_newest_first)
{
        static const char table[] =
                "{\"total_region_size\":4294967296,\"ram_region_state\":[{\"name\":\"DefaultRam\",\"offset\":0,\"size\":4294967296}]"
                ",\"alias_region_state\":[{\"name\":\"above4g_ram\",\"alias_offset\":3221225472,\"offset\":4294967296"
                ",\"size\":1073741824},{\"name\":\"below4g_ram\",\"alias_offset\":0,\"offset\":0,\"size\":3221225472}]}";
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN)), again = { 0 };
        struct mem_layout                  l = { 0 };
        char                               path[PATH_MAX + 16], memory[PATH_MAX + 32], text[sizeof(table)];
        int                                fd;

        cr_assert_eq(mem_layout_add(&l, 0, 3 * GIB, NULL), 0);
        cr_assert_eq(mem_layout_add(&l, 4 * GIB, GIB, NULL), 0);
        snprintf(path, sizeof(path), "%s/snap", t.path);
        write_state(&s.vm, &l, path);
        again = open_snapshot(path);
        cr_assert_eq(again.layout.nr, 2);
        cr_assert_eq(again.layout.w[1].gpa, 4 * GIB);
        snprintf(memory, sizeof(memory), "%s/memory", path);
        fd = open(memory, O_RDONLY | O_CLOEXEC);
        cr_assert_eq(fd_pread_full(fd, text, sizeof(table) - 1, 4096 + 8), (ssize_t)sizeof(table) - 1);
        cr_assert_eq(memcmp(text, table, sizeof(table) - 1), 0, "%.*s", (int)sizeof(text), text);
        close(fd);
}

/* --- the directory --- */

Test(stratovirt_write, the_identity_is_what_a_reader_finds)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN)), again = { 0 };
        char                               path[PATH_MAX + 16];
        struct identity                    id;

        snprintf(path, sizeof(path), "%s/snap", t.path);
        id = write_state(&s.vm, &s.layout, path);
        again = open_snapshot(path);
        cr_assert_str_eq(id.s, again.identity.s);
}

static int count_entries(const char *path)
{
        DIR *d = opendir(path);
        int  n = 0;

        cr_assert_not_null(d);
        for (struct dirent *x; (x = readdir(d));)
                n += strcmp(x->d_name, ".") && strcmp(x->d_name, "..");
        closedir(d);
        return n;
}

Test(stratovirt_write, a_writer_that_is_dropped_or_short_of_pages_leaves_nothing)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = open_snapshot(fixture_dir(PLAIN));
        struct snapshot_writer            *w;
        char                               path[PATH_MAX + 16];
        struct err                         e = { 0 };

        snprintf(path, sizeof(path), "%s/snap", t.path);
        w = begin(path, RAM_PAGES);
        cr_assert_eq(sv_writer_ops.pages(w, NULL, RAM_PAGES - 1, &e), 0);
        cr_assert_eq(sv_writer_ops.state(w, &s.vm, &s.layout, &e), -EINVAL);
        cr_assert_eq(sv_writer_ops.commit(w, NULL, &e), -EINVAL);
        cr_assert_eq(sv_writer_ops.pages(w, NULL, 2, &e), -EINVAL);
        sv_writer_ops.free(w);
        cr_assert_eq(count_entries(t.path), 0);
}

Test(stratovirt_write, a_full_file_system_leaves_nothing_behind)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_free_ uint8_t        *pages = malloc(512 * PAGE_BYTES);
        struct snapshot_writer        *w;
        char                           path[PATH_MAX + 16];
        struct err                     e = { 0 };

        /* In a chroot "/" is no mount point and cannot be made private; the mount below is undone either way. */
        if (unshare(CLONE_NEWNS) < 0 || (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 && errno != EINVAL) ||
            mount("tmpfs", t.path, "tmpfs", 0, "size=256k") < 0)
                cr_skip_test("no right to mount a small file system");
        cr_assert_not_null(pages);
        memset(pages, 0xaa, 512 * PAGE_BYTES);
        snprintf(path, sizeof(path), "%s/snap", t.path);
        w = begin(path, RAM_PAGES);
        cr_assert_eq(sv_writer_ops.pages(w, pages, 512, &e), -ENOSPC);
        cr_assert_eq(e.kind, ERR_FAILED);
        cr_assert_eq(sv_writer_ops.commit(w, NULL, &e), -EINVAL);
        sv_writer_ops.free(w);
        cr_assert_eq(count_entries(t.path), 0);
        cr_assert_eq(umount(t.path), 0);
}

Test(stratovirt_write, an_unknown_format_is_wrong_usage_and_names_those_there_are)
{
        struct err e = { 0 };

        cr_assert_null(snapshot_writer_find("qcow2", &e));
        cr_assert_eq(e.kind, ERR_USAGE);
        cr_assert_not_null(strstr(e.text, "native or stratovirt"));
        cr_assert_eq(snapshot_writer_find(NULL, &e), &native_writer_ops);
        cr_assert_eq(snapshot_writer_find("stratovirt", &e), &sv_writer_ops);
}
