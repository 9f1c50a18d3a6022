/* The virtio slots of a machine: what is where, how it is asked for, and how it comes back from a snapshot. */
#include "core/base/cleanup.h"
#include "kvm/boot/map.h"
#include "kvm/virtio/mmio_internal.h"
#include "kvm/vm_internal.h"
#include "tests/unit/kvm/small_vm.h"

#include <errno.h>

#define DEVICE_ID 0x008
#define STATUS    0x070

static int make(struct small_vm *s, const struct device_config *d, size_t nr, const struct vm_state *saved, struct err *e)
{
        struct host_caps caps = { 0 };
        struct vm_config c = { .caps = &caps, .machine = MACHINE_MICROVM, .nr_vcpus = 1, .layout = &s->layout, .devices = d,
                               .nr_devices = nr, .saved = saved };

        kvm_probe(&caps);
        vm_free(TAKE_PTR(s->vm));
        c.events = (struct vm_events){ .arg = s, .entered = small_entered, .serial_out = small_out, .exited = small_exited };
        return vm_new(&c, &s->vm, NULL, e);
}

static struct small_vm *vm_with(const struct device_config *d, size_t nr, const struct vm_state *saved)
{
        struct small_vm *s = small_vm_bare(1, NULL);
        struct err       e = { 0 };

        cr_assert_eq(make(s, d, nr, saved, &e), 0, "%s", e.text);
        return s;
}

static uint32_t in(struct small_vm *s, uint32_t slot, uint32_t reg)
{
        uint32_t v = 0;

        bus_read(&s->vm->bus, BUS_MMIO, 0xf0100000 + 0x200 * slot + reg, (uint8_t *)&v, 4);
        return v;
}

static void out(struct small_vm *s, uint32_t slot, uint32_t reg, uint32_t v)
{
        bus_write(&s->vm->bus, BUS_MMIO, 0xf0100000 + 0x200 * slot + reg, (uint8_t *)&v, 4);
}

static struct vm_state save(struct small_vm *s)
{
        struct vm_state st = { 0 };
        struct err      e = { 0 };

        cr_assert_eq(vm_save(s->vm, &st, &e), 0, "%s", e.text);
        return st;
}

static int load(struct small_vm *s, const struct vm_state *st, struct err *e)
{
        struct vm_load_report rep;

        return vm_load(s->vm, st, &rep, e);
}

Test(slots, the_fixed_six_are_always_there)
{
        struct small_vm *s = vm_with(NULL, 0, NULL);

        cr_assert_eq(vm_slots(s->vm), 0x3f);
        for (uint32_t i = 0; i < 6; i++)
                cr_assert_eq(in(s, i, DEVICE_ID), i < 4 ? VIRTIO_BLK : VIRTIO_NET);
        cr_assert_eq(in(s, 6, DEVICE_ID), UINT32_MAX, "nobody there");
        cr_assert_eq(vm_balloon_set(s->vm, MIB), -ENODEV);
        small_vm_free(s);
}

Test(slots, devices_take_the_slots_they_name_and_others_the_next_free_ones)
{
        const struct device_config d[] = {
                { .kind = VIRTIO_RNG, .slot = VIRTIO_SLOT_UNKNOWN },
                { .kind = VIRTIO_BALLOON, .slot = 6 },
                { .kind = VIRTIO_RNG, .slot = 9 },
        };
        struct small_vm *s = vm_with(d, ARRAY_LEN(d), NULL);
        uint64_t         gave = 1;

        cr_assert_eq(vm_slots(s->vm), 0x3f | 1 << 6 | 1 << 7 | 1 << 9);
        cr_assert_eq(in(s, 6, DEVICE_ID), VIRTIO_BALLOON);
        cr_assert_eq(in(s, 7, DEVICE_ID), VIRTIO_RNG);
        cr_assert_str_eq(s->vm->slots.v[7].device->what, "rng in slot 7");
        cr_assert_eq(vm_balloon_set(s->vm, MIB), 0);
        cr_assert_eq(vm_balloon_get(s->vm, &gave), 0);
        cr_assert_eq(gave, 0);
        small_vm_free(s);
}

Test(slots, what_has_no_slot_is_refused)
{
        static const struct {
                struct device_config d[6];
                size_t               nr;
                const char          *text;
        } cases[] = {
                { { { .kind = VIRTIO_RNG, .slot = 3 } }, 1, "not for a rng" },
                { { { .kind = VIRTIO_NET, .slot = 6 } }, 1, "not for a net" },
                { { { .kind = VIRTIO_RNG, .slot = 11 } }, 1, "slot 11" },
                { { { .kind = VIRTIO_RNG, .slot = 7 }, { .kind = VIRTIO_BALLOON, .slot = 7 } }, 2, "given twice" },
                { { { .kind = VIRTIO_RNG, .slot = VIRTIO_SLOT_UNKNOWN }, { .kind = VIRTIO_RNG, .slot = VIRTIO_SLOT_UNKNOWN },
                    { .kind = VIRTIO_RNG, .slot = VIRTIO_SLOT_UNKNOWN }, { .kind = VIRTIO_RNG, .slot = VIRTIO_SLOT_UNKNOWN },
                    { .kind = VIRTIO_RNG, .slot = VIRTIO_SLOT_UNKNOWN }, { .kind = VIRTIO_RNG, .slot = VIRTIO_SLOT_UNKNOWN } },
                  6, "all of them taken" },
        };
        struct small_vm *s = small_vm_bare(1, NULL);

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct err e = { 0 };

                cr_assert_eq(make(s, cases[i].d, cases[i].nr, NULL, &e), -EINVAL, "case %zu", i);
                cr_assert_eq(e.kind, ERR_USAGE);
                cr_assert_not_null(strstr(e.text, cases[i].text), "%s", e.text);
        }
        small_vm_free(s);
}

Test(slots, every_slot_is_saved_in_order_and_comes_back_the_same)
{
        const struct device_config d = { .kind = VIRTIO_RNG, .slot = 8 };
        struct small_vm           *s = vm_with(&d, 1, NULL), *n;
        struct vm_state            st, again;
        struct err                 e = { 0 };
        char                       what[80] = "";

        out(s, 8, STATUS, 3);
        out(s, 4, STATUS, 1);
        st = save(s);
        cr_assert_eq(st.nr_devices, 1 + 7);
        for (uint32_t i = 0; i < 7; i++)
                cr_assert_eq(st.devices[1 + i].u.virtio.slot, i < 6 ? i : 8);
        n = vm_with(NULL, 0, &st);
        cr_assert_eq(vm_slots(n->vm), 0x3f | 1 << 8, "made as the snapshot says");
        cr_assert_eq(load(n, &st, &e), 0, "%s", e.text);
        cr_assert_eq(in(n, 8, STATUS), 3);
        cr_assert_eq(in(n, 4, STATUS), 1);
        again = save(n);
        cr_assert(vm_state_equal(&(struct vm_state){ .nr_devices = st.nr_devices, .devices = st.devices },
                                 &(struct vm_state){ .nr_devices = again.nr_devices, .devices = again.devices }, what),
                  "%s", what);
        vm_state_free(&st);
        vm_state_free(&again);
        small_vm_free(n);
        small_vm_free(s);
}

Test(slots, a_snapshot_without_devices_wakes_with_the_fixed_six_reset)
{
        struct small_vm *s = vm_with(NULL, 0, NULL), *n;
        struct vm_state  st;
        struct err       e = { 0 };

        out(s, 0, STATUS, 3);
        st = save(s);
        st.nr_devices = 1; /* the serial port, as rouse 0.1 saved it */
        n = vm_with(NULL, 0, &st);
        cr_assert_eq(load(n, &st, &e), 0, "%s", e.text);
        cr_assert_eq(in(n, 0, STATUS), 0);
        vm_state_free(&st);
        small_vm_free(n);
        small_vm_free(s);
}

Test(slots, what_a_snapshot_holds_twice_or_nowhere_is_refused)
{
        struct small_vm *s = vm_with(NULL, 0, NULL);
        struct vm_state  st = save(s);
        struct err       e = { 0 };

        st.devices[3].u.virtio.slot = 1;
        cr_assert_eq(load(s, &st, &e), -EBADMSG);
        cr_assert_not_null(strstr(e.text, "slot 1: expected one device, found two"), "%s", e.text);
        st.devices[3].u.virtio.slot = 7;
        cr_assert_eq(load(s, &st, &e), -EBADMSG);
        cr_assert_not_null(strstr(e.text, "slot 7"), "%s", e.text);
        st.devices[3].u.virtio.slot = VIRTIO_SLOT_UNKNOWN;
        cr_assert_eq(load(s, &st, &e), -EBADMSG);
        vm_state_free(&st);
        small_vm_free(s);
}

Test(slots, a_device_of_another_kind_than_the_snapshots_is_refused)
{
        const struct device_config d = { .kind = VIRTIO_RNG, .slot = 8 }, other = { .kind = VIRTIO_BALLOON, .slot = 8 };
        const struct device_config any = { .kind = VIRTIO_BALLOON, .slot = VIRTIO_SLOT_UNKNOWN };
        struct small_vm           *s = vm_with(&d, 1, NULL);
        struct vm_state            st = save(s);
        struct err                 e = { 0 };

        cr_assert_eq(make(s, &other, 1, &st, &e), -EINVAL);
        cr_assert_not_null(strstr(e.text, "the snapshot's rng, found a balloon"), "%s", e.text);
        cr_assert_eq(make(s, &any, 1, &st, &e), 0, "%s", e.text);
        cr_assert_eq(vm_slots(s->vm), 0x3f | 1 << 6 | 1 << 8, "beside it");
        vm_state_free(&st);
        small_vm_free(s);
}

/* --- with KVM --- */

/* mov $0x3f8,%dx; 1: mov $...,%edi; movl $0,(%rdi) (QueueNotify of slot 6); mov $'K',%al; out %al,(%dx); jmp 1b */
static const uint8_t kicks[] = { 0x66, 0xba, 0xf8, 0x03, 0xbf, 0x50, 0x0c, 0x10, 0xf0, 0xc7, 0x07, 0x00, 0x00, 0x00, 0x00,
                                 0xb0, 0x4b, 0xee, 0xeb, 0xf0 };

#define RINGS 0x800000

/* The boot's page tables end at 1 GiB: maps the gigabyte of the virtio slots, too. */
static void map_slots(struct small_vm *s)
{
        uint64_t *pdpt = (uint64_t *)(s->layout.ram + MAP_PDPT), *pd = (uint64_t *)(s->layout.ram + 0x7f0000);

        for (uint64_t i = 0; i < 512; i++)
                pd[i] = 3 * GIB + i * HUGE_PAGE_BYTES + 0x83;
        pdpt[3] = 0x7f0000 + 3;
}

/* A random number generator that the guest's driver has brought up, with one buffer of 64 bytes waiting. */
static void bring_up_rng(struct small_vm *s)
{
        uint8_t       *ram = s->layout.ram;
        const uint64_t desc[2] = { RINGS + 0x3000, 64 | 2ULL << 32 };
        const uint16_t avail[3] = { 0, 1, 0 };

        memcpy(ram + RINGS, desc, sizeof(desc));
        memcpy(ram + RINGS + 0x1000, avail, sizeof(avail));
        out(s, 6, STATUS, 3);
        out(s, 6, 0x24, 1);
        out(s, 6, 0x20, 1);
        out(s, 6, STATUS, 11);
        out(s, 6, 0x38, 8);
        out(s, 6, 0x80, RINGS);
        out(s, 6, 0x90, RINGS + 0x1000);
        out(s, 6, 0xa0, RINGS + 0x2000);
        out(s, 6, 0x44, 1);
        out(s, 6, STATUS, 15);
        cr_assert_eq(in(s, 6, STATUS), 15);
}

static uint16_t used_idx(struct small_vm *s)
{
        return atomic_load((_Atomic uint16_t *)(s->layout.ram + RINGS + 0x2002));
}

static void wait_used(struct small_vm *s, uint16_t n)
{
        for (int i = 0; i < 20000 && used_idx(s) != n; i++)
                usleep(1000);
        cr_assert_eq(used_idx(s), n);
}

Test(slots, a_woken_guest_kicks_its_device_through_kvm)
{
        const struct device_config d = { .kind = VIRTIO_RNG, .slot = 6 };
        struct small_vm           *boot = small_vm_boot(kicks, sizeof(kicks), 1), *s;
        struct vm_state            st;
        struct err                 e = { 0 };

        st = save(boot);
        s = vm_with(&d, 1, NULL);
        memcpy(s->layout.ram, boot->layout.ram, SMALL_RAM_BYTES);
        cr_assert_eq(load(s, &st, &e), 0, "%s", e.text);
        map_slots(s);
        bring_up_rng(s);
        wait_used(s, 1);
        cr_assert_eq(vm_start(s->vm, &e), 0, "%s", e.text);
        vm_resume(s->vm);
        small_wait_out(s, 10);
        /* another buffer: nobody but the guest kicks for it */
        atomic_store((_Atomic uint16_t *)(s->layout.ram + RINGS + 0x1002), 2);
        wait_used(s, 2);
        vm_pause(s->vm);
        cr_assert_geq(atomic_load(&s->vm->slots.v[6].irq_fd), 0, "its interrupt is an irqfd");
        atomic_store((_Atomic uint16_t *)(s->layout.ram + RINGS + 0x1002), 3);
        usleep(20000);
        cr_assert_eq(used_idx(s), 2, "paused is paused");
        vm_resume(s->vm);
        wait_used(s, 3);
        vm_stop(s->vm);
        vm_resume(s->vm);
        atomic_store((_Atomic uint16_t *)(s->layout.ram + RINGS + 0x1002), 4);
        usleep(20000);
        cr_assert_eq(used_idx(s), 3, "stopped for good");
        vm_state_free(&st);
        small_vm_free(s);
        small_vm_free(boot);
}

/* As when the worker was drained a moment ago and KVM has not got round to the interrupt. */
Test(slots, an_interrupt_that_is_under_way_is_in_the_saved_interrupt_controllers)
{
        const struct device_config d = { .kind = VIRTIO_RNG, .slot = 6 };
        const uint8_t              bit = 1 << (5 + 6 - 8); /* its line is the first one's and six more; the slave's begin at 8 */
        struct small_vm           *boot = small_vm_boot(kicks, sizeof(kicks), 1), *s = vm_with(&d, 1, NULL);
        struct vm_state            st = save(boot), before, after;
        struct err                 e = { 0 };

        cr_assert_eq(load(s, &st, &e), 0, "%s", e.text);
        before = save(s);
        cr_assert_eq(before.platform.pic_slave.irr & bit, 0);
        atomic_store(&s->vm->slots.v[6].transport->status, STATUS_DRIVER_OK);
        atomic_store(&s->vm->slots.v[6].transport->interrupt_status, INTERRUPT_QUEUE);
        after = save(s);
        cr_assert_eq(after.platform.pic_slave.irr & bit, bit);
        vm_state_free(&st);
        vm_state_free(&before);
        vm_state_free(&after);
        small_vm_free(s);
        small_vm_free(boot);
}
