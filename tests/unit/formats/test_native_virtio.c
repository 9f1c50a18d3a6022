/* test_native_virtio: a virtio device comes back as it was written, and bytes that are none are refused. */
#include "core/base/units.h"
#include "formats/native_sections.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define _cleanup_vm_       __attribute__((cleanup(vm_state_free)))
#define _cleanup_out_      __attribute__((cleanup(section_out_free)))
#define _cleanup_sections_ __attribute__((cleanup(sections_free)))
#define _cleanup_state_    __attribute__((cleanup(native_state_free)))

/* One vCPU with every piece that is needed, all zero: nobody here looks at it. */
static struct vm_state make_vm(void)
{
        struct vm_state    vm;
        struct vcpu_state *v;

        cr_assert_eq(vm_state_init(&vm, MACHINE_MICROVM, 1), 0);
        v = &vm.vcpus[0];
        v->have = ((1u << VCPU_PIECES) - 1) & ~(1u << VCPU_CPUID | 1u << VCPU_XSAVE | 1u << VCPU_XCRS | 1u << VCPU_NESTED);
        v->cpuid_origin = CPUID_STRATOVIRT;
        v->topology = (struct cpu_topology){ 1, 1, 1, 1, 1, true };
        v->nr_msrs = 1;
        v->msrs = calloc(1, sizeof(*v->msrs));
        vm.platform.have = 1u << PLATFORM_IOAPIC | 1u << PLATFORM_PIT | 1u << PLATFORM_CLOCK;
        return vm;
}

static struct virtio_state *add(struct vm_state *vm, enum virtio_kind kind, uint32_t slot, uint16_t nr_queues, const char *id)
{
        struct device_record *d = vm_state_add_device(vm, DEVICE_VIRTIO, id);
        struct virtio_state  *v;

        cr_assert_not_null(d);
        v = &d->u.virtio;
        *v = (struct virtio_state){
                .kind = kind, .slot = slot, .device_features = 0x130000204 + slot, .driver_features = 0x100000000,
                .status = 15, .interrupt_status = 1, .device_features_sel = 1, .driver_features_sel = 2, .queue_sel = 3,
                .config_generation = 4, .activated = true, .nr_queues = nr_queues,
        };
        for (unsigned int i = 0; i < nr_queues; i++)
                v->queues[i] = (struct virtqueue_state){ 0x10000 + i, 0x20000 + i, 0x30000 + i, 128, 256, (uint16_t)(65535 - i),
                                                         (uint16_t)(65530 - i), i % 2 == 0 };
        return v;
}

static void add_net(struct vm_state *vm)
{
        struct virtio_net_state *n = &add(vm, VIRTIO_NET, 4, 3, "")->u.net;

        *n = (struct virtio_net_state){ { 1, 2, 3, 4, 5, 6 }, .status = 7, .max_pairs = 8, .mtu = 9, .has_filters = true,
                                        .allmulti = true,
                                        .nomulti = true, .nobcast = true, .multi_overflow = true, .nr_uni = 64, .nr_multi = 1 };
        for (int i = 0; i < 64; i++)
                n->uni[i][i % 6] = (uint8_t)(i + 1);
        n->multi[0][5] = 0xff;
        n->vlans[0] = 1;
        n->vlans[511] = 0x80;
}

static void add_console(struct vm_state *vm)
{
        struct virtio_state *v = add(vm, VIRTIO_CONSOLE, VIRTIO_SLOT_UNKNOWN, 64, "con0");

        v->u.console = (struct virtio_console_state){ 80, 25, VIRTIO_CONSOLE_PORTS_MAX, { { true, false } } };
        v->u.console.ports[30].host_connected = true;
}

/* Every kind, with every field set. */
static struct vm_state all_kinds(void)
{
        struct vm_state vm = make_vm();

        vm_state_add_device(&vm, DEVICE_SERIAL, "serial");
        add(&vm, VIRTIO_BLK, 0, 1, "")->u.blk = (struct virtio_blk_state){ 512, 254, 4096, 1, 2, 3, 4, 5, 1, 1, 6 };
        add_net(&vm);
        add_console(&vm);
        add(&vm, VIRTIO_RNG, 10, 1, "rng0")->no_transport = true;
        add(&vm, VIRTIO_BALLOON, 9, 2, "")->u.balloon = (struct virtio_balloon_state){ 100, 50 };
        add(&vm, VIRTIO_VSOCK, 8, 3, "vsock")->u.vsock.guest_cid = UINT32_MAX - 1;
        return vm;
}

static int encode(const struct vm_state *vm, struct section_out *ret, struct err *e)
{
        const struct identity self = { "01234567-89ab-cdef" }, parent = { "" };
        struct mem_layout     l = { 0 };

        cr_assert_eq(mem_layout_add(&l, 0, 16 * MIB, NULL), 0);
        return native_state_encode(&self, &parent, NULL, &l, vm, ret, e);
}

static int decode(const struct section_out *in, struct native_state *ret, struct err *e)
{
        _cleanup_sections_ struct sections s = { 0 };
        int                                r = sections_read("state", in->bytes, in->len, &s, e);

        return r < 0 ? r : native_state_decode(&s, ret, e);
}

Test(native_virtio, every_field_of_every_kind_comes_back_as_it_was)
{
        _cleanup_vm_ struct vm_state       vm = all_kinds();
        _cleanup_out_ struct section_out   out = { 0 };
        _cleanup_state_ struct native_state s = { 0 };
        struct err                         e = { 0 };
        char                               what[80] = "";

        cr_assert_eq(encode(&vm, &out, &e), 0, "%s", e.text);
        cr_assert_eq(decode(&out, &s, &e), 0, "%s", e.text);
        cr_assert(vm_state_equal(&vm, &s.vm, what), "%s", what);
        cr_assert_str_eq(s.vm.devices[3].id, "con0");
        cr_assert_eq(s.vm.devices[3].u.virtio.slot, VIRTIO_SLOT_UNKNOWN);
}

Test(native_virtio, a_stratovirt_vcpu_comes_back_with_its_topology_and_without_a_cpuid)
{
        _cleanup_vm_ struct vm_state       vm = make_vm();
        _cleanup_out_ struct section_out   out = { 0 };
        _cleanup_state_ struct native_state s = { 0 };
        struct err                         e = { 0 };

        vm.vcpus[0].topology = (struct cpu_topology){ 254, 2, 127, 3, 4, false };
        cr_assert_eq(encode(&vm, &out, &e), 0, "%s", e.text);
        cr_assert_eq(decode(&out, &s, &e), 0, "%s", e.text);
        cr_assert_eq(s.vm.vcpus[0].cpuid_origin, CPUID_STRATOVIRT);
        cr_assert(!(s.vm.vcpus[0].have >> VCPU_CPUID & 1));
        cr_assert_arr_eq(&s.vm.vcpus[0].topology, &vm.vcpus[0].topology, sizeof(struct cpu_topology));
        cr_assert_eq(s.vm.platform.have, vm.platform.have);
}

/* --- what is refused ---
 * The state is written as it should be, then one section is written again, changed, under right checksums. */

struct change {
        size_t      at, bytes;
        uint64_t    value;
        const char *message;
};

static void change_section(struct section_out *out, const char *name, const struct change *c, int64_t more)
{
        _cleanup_sections_ struct sections in = { 0 };
        struct section_out                 copy = { 0 };

        cr_assert_eq(sections_read("state", out->bytes, out->len, &in, NULL), 0);
        for (size_t i = 0; i < in.nr; i++) {
                uint8_t *bytes = calloc(1, in.v[i].len + 64);
                size_t   len = in.v[i].len;

                memcpy(bytes, in.v[i].bytes, len);
                if (!strcmp(in.v[i].name, name)) {
                        memcpy(bytes + c->at, &c->value, c->bytes);
                        len = (size_t)((int64_t)len + more);
                }
                section_out_add(&copy, in.v[i].name, bytes, len, NULL, 0);
                free(bytes);
        }
        cr_assert_eq(section_out_finish(&copy), 0);
        section_out_free(out);
        *out = copy;
}

static void assert_refused(const struct vm_state *vm, const char *section, const struct change *c, int64_t more)
{
        _cleanup_out_ struct section_out   out = { 0 };
        _cleanup_state_ struct native_state s = { 0 };
        struct err                         e = { 0 };

        cr_assert_eq(encode(vm, &out, &e), 0, "%s", e.text);
        change_section(&out, section, c, more);
        cr_assert_eq(decode(&out, &s, &e), -EBADMSG, "%s at %zu", section, c->at);
        cr_assert_not_null(strstr(e.text, section), "%s", e.text);
        cr_assert_not_null(strstr(e.text, c->message), "expected '%s' in '%s'", c->message, e.text);
}

#define HEAD(member, v, text) { offsetof(struct native_virtio, member), sizeof(((struct native_virtio *)NULL)->member), v, text }
#define QUEUE(i, member, v, text)                                                                                       \
        {                                                                                                               \
                sizeof(struct native_virtio) + (i) * sizeof(struct native_virtqueue) + offsetof(struct native_virtqueue, member), \
                sizeof(((struct native_virtqueue *)NULL)->member), v, text                                              \
        }
#define KIND(queues, type, member, bytes, v, text) \
        { sizeof(struct native_virtio) + (queues) * sizeof(struct native_virtqueue) + offsetof(struct type, member), bytes, v, text }

Test(native_virtio, registers_and_queues_that_are_none_are_refused)
{
        static const struct change bad[] = {
                { 0, 2, 0x1b61, "expected a name that is a word or none" }, /* an escape for a terminal */
                { 0, 1, ' ', "expected a name that is a word or none" },
                HEAD(kind, 0, "expected a device of a known kind, found kind 0"),
                HEAD(kind, 6, "expected a device of a known kind, found kind 6; a newer rouse may read it"),
                HEAD(kind, VIRTIO_NET, "bytes of a net device"),
                HEAD(slot, 11, "expected a slot from 0 to 10, or none"),
                HEAD(slot, UINT32_MAX - 1, "expected a slot from 0 to 10, or none"),
                HEAD(no_transport, 2, "expected flags that are 0 or 1, found 2"),
                HEAD(activated, 0xff, "expected flags that are 0 or 1, found 255"),
                HEAD(broken, 2, "expected flags that are 0 or 1, found 2"),
                HEAD(reserved, 1, "expected zeros in what is reserved"),
                HEAD(nr_queues, 65, "expected at most 64 queues, found 65"),
                HEAD(nr_queues, 0, "expected 0 queues and 40 bytes"),
                HEAD(nr_queues, 64, "expected 64 queues"),
                HEAD(kind_bytes, 39, "found 39 bytes"),
                QUEUE(0, size, 3, "expected queues in use whose size is 0 or a power of two"),
                QUEUE(0, size, 512, "expected queues in use whose size is 0 or a power of two up to max_size"),
                QUEUE(0, max_size, 2048, "expected max_size 0 or a power of two up to 1024"),
                QUEUE(0, max_size, 255, "expected max_size 0 or a power of two up to 1024"),
                QUEUE(0, ready, 2, "expected ready 0 or 1, found 2"),
                QUEUE(0, reserved[6], 1, "expected zeros in what is reserved"),
                KIND(1, native_blk, capacity_sectors, 8, UINT64_MAX / 512 + 1, "expected a capacity below 2^64 bytes"),
        };
        _cleanup_vm_ struct vm_state vm = make_vm();

        add(&vm, VIRTIO_BLK, 0, 1, "");
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_refused(&vm, "device.0.virtio", &bad[i], 0);
}

Test(native_virtio, a_name_that_does_not_end_is_refused)
{
        static const struct change   last = { 31, 1, 'x', "expected a name that is a word or none" };
        _cleanup_vm_ struct vm_state vm = make_vm();

        add(&vm, VIRTIO_BLK, 0, 1, "0123456789012345678901234567890");
        assert_refused(&vm, "device.0.virtio", &last, 0);
}

Test(native_virtio, the_size_of_a_queue_that_is_not_in_use_is_whatever_the_guest_wrote)
{
        _cleanup_vm_ struct vm_state       vm = make_vm();
        _cleanup_out_ struct section_out   out = { 0 };
        _cleanup_state_ struct native_state s = { 0 };
        struct virtio_state               *v = add(&vm, VIRTIO_RNG, 6, 1, "");
        struct err                         e = { 0 };

        v->queues[0].ready = false;
        v->queues[0].size = 54321;
        cr_assert_eq(encode(&vm, &out, &e), 0, "%s", e.text);
        cr_assert_eq(decode(&out, &s, &e), 0, "%s", e.text);
        cr_assert_eq(s.vm.devices[0].u.virtio.queues[0].size, 54321);
}

Test(native_virtio, what_a_kind_adds_is_refused_where_it_is_nothing_of_that_kind)
{
        static const struct {
                enum virtio_kind kind;
                uint16_t         queues;
                struct change    change;
        } bad[] = {
                { VIRTIO_NET, 3, KIND(3, native_net, has_filters, 1, 2, "expected flags that are 0 or 1") },
                { VIRTIO_NET, 3, KIND(3, native_net, multi_overflow, 1, 2, "expected flags that are 0 or 1") },
                { VIRTIO_NET, 3, KIND(3, native_net, reserved, 1, 2, "expected zeros in what is reserved") },
                { VIRTIO_NET, 3, KIND(3, native_net, nr_uni, 2, 65, "expected at most 64 addresses in a filter") },
                { VIRTIO_NET, 3, KIND(3, native_net, nr_multi, 2, 65535, "expected at most 64 addresses in a filter") },
                { VIRTIO_CONSOLE, 4, KIND(4, native_console, max_ports, 4, 32, "expected at most 31 ports") },
                { VIRTIO_CONSOLE, 4, KIND(4, native_console, ports[30].host_connected, 1, 2, "expected flags that are 0 or 1") },
                { VIRTIO_CONSOLE, 4, KIND(4, native_console, reserved[1], 1, 2, "expected zeros in what is reserved") },
                { VIRTIO_VSOCK, 3, KIND(3, native_vsock, guest_cid, 8, 1ULL << 32, "expected a CID of 32 bits") },
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                _cleanup_vm_ struct vm_state vm = make_vm();

                add(&vm, bad[i].kind, 6, bad[i].queues, "");
                assert_refused(&vm, "device.0.virtio", &bad[i].change, 0);
        }
}

Test(native_virtio, a_section_of_another_length_is_refused)
{
        static const struct change none = { 0, 0, 0, "" };
        _cleanup_vm_ struct vm_state vm = make_vm();

        add(&vm, VIRTIO_BLK, 0, 1, "");
        for (int64_t more = -168; more <= 64; more++)
                if (more)
                        assert_refused(&vm, "device.0.virtio", &none, more);
}

Test(native_virtio, a_device_that_no_reader_would_take_is_not_written)
{
        static const struct {
                size_t      at;
                uint16_t    value;
                const char *message;
        } bad[] = {
                { offsetof(struct virtio_state, kind), 7,
                  "native state: device 0: expected a device of a known kind, found another" },
                { offsetof(struct virtio_state, slot), 11,
                  "native state: device 0: expected a slot from 0 to 10, or none, found another" },
                { offsetof(struct virtio_state, nr_queues), 65,
                  "native state: device 0: expected at most 64 queues, found another" },
                { offsetof(struct virtio_state, queues[0].max_size), 100,
                  "native state: device 0: expected max_size 0 or a power of two up to 1024, found another" },
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                _cleanup_vm_ struct vm_state     vm = make_vm();
                _cleanup_out_ struct section_out out = { 0 };
                struct virtio_state             *v = add(&vm, VIRTIO_RNG, 0, 1, "");
                struct err                       e = { 0 };

                memcpy((uint8_t *)v + bad[i].at, &bad[i].value, sizeof(bad[i].value));
                cr_assert_eq(encode(&vm, &out, &e), -EINVAL);
                cr_assert_str_eq(e.text, bad[i].message);
        }
}
