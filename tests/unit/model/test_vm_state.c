/* test_vm_state: a machine is made, given back and compared; a difference anywhere is seen and named. */
#include "core/model/vm_state.h"

#include <assert.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#define ALL_VCPU_PIECES     ((1U << VCPU_PIECES) - 1)
#define ALL_PLATFORM_PIECES ((1U << PLATFORM_PIECES) - 1)

static void fill_vcpu(struct vcpu_state *v)
{
        v->have = ALL_VCPU_PIECES;
        v->nr_cpuid = 3;
        v->cpuid = calloc(3, sizeof(*v->cpuid));
        v->cpuid[2].function = 0xb;
        v->cpuid[2].index = 1;
        v->xsave_bytes = 4096;
        v->xsave = calloc(1, 4096);
        v->nr_msrs = 2;
        v->msrs = calloc(2, sizeof(*v->msrs));
        v->msrs[1].index = 0x10;
        v->nested_bytes = 128;
        v->nested = calloc(1, 128);
}

/* Two vCPUs with every piece, the platform with every piece, a serial port. */
static struct vm_state whole(void)
{
        struct vm_state s;

        cr_assert_eq(vm_state_init(&s, MACHINE_MICROVM, 2), 0);
        fill_vcpu(&s.vcpus[0]);
        fill_vcpu(&s.vcpus[1]);
        s.platform.have = ALL_PLATFORM_PIECES;
        cr_assert_not_null(vm_state_add_device(&s, DEVICE_SERIAL, "serial"));
        return s;
}

static void assert_differ(const struct vm_state *a, const struct vm_state *b, const char *what)
{
        char found[80] = "nothing";

        cr_assert(!vm_state_equal(a, b, found));
        cr_assert_str_eq(found, what);
}

Test(vm_state, a_number_of_vcpus_outside_1_to_254_is_refused)
{
        struct vm_state s = { .nr_vcpus = 7 };

        cr_assert_eq(vm_state_init(&s, MACHINE_MICROVM, 0), -EINVAL);
        cr_assert_eq(vm_state_init(&s, MACHINE_MICROVM, 255), -EINVAL);
        cr_assert_eq(s.nr_vcpus, 7);
        cr_assert_eq(vm_state_init(&s, MACHINE_MICROVM, 254), 0);
        cr_assert_eq(s.vcpus[253].have, 0);
        vm_state_free(&s);
}

Test(vm_state, freeing_accepts_nothing_half_built_and_twice)
{
        struct vm_state s = whole(), half = { .nr_vcpus = 5 };

        vm_state_free(NULL);
        vm_state_free(&half);
        vm_state_free(&s);
        vm_state_free(&s);
        cr_assert_null(s.vcpus);
}

Test(vm_state, a_device_is_found_by_its_kind)
{
        struct vm_state s = whole();

        cr_assert_str_eq(vm_state_device(&s, DEVICE_SERIAL)->id, "serial");
        cr_assert_null(vm_state_device(&s, 99));
        vm_state_free(&s);
}

Test(vm_state, an_id_that_is_too_long_is_cut)
{
        struct vm_state       s = whole();
        struct device_record *d = vm_state_add_device(&s, DEVICE_SERIAL, "0123456789012345678901234567890123456789");

        cr_assert_str_eq(d->id, "0123456789012345678901234567890");
        cr_assert_eq(s.nr_devices, 2);
        vm_state_free(&s);
}

Test(vm_state, every_piece_has_a_name_of_its_own)
{
        for (unsigned int i = 0; i < VCPU_PIECES; i++)
                for (unsigned int k = 0; k < i; k++)
                        cr_assert_str_neq(vcpu_piece_name(i), vcpu_piece_name(k));
        for (unsigned int i = 0; i < PLATFORM_PIECES; i++)
                for (unsigned int k = 0; k < i; k++)
                        cr_assert_str_neq(platform_piece_name(i), platform_piece_name(k));
        cr_assert_str_eq(vcpu_piece_name(VCPU_PIECES), "unknown");
        cr_assert_str_eq(platform_piece_name(PLATFORM_PIECES), "unknown");
}

Test(vm_state_equal, two_that_were_built_alike_are_equal_and_nothing_is_named)
{
        struct vm_state a = whole(), b = whole();
        char            what[80] = "untouched";

        cr_assert(vm_state_equal(&a, &b, what));
        cr_assert_str_eq(what, "untouched");
        vm_state_free(&a);
        vm_state_free(&b);
}

/* Each row flips one byte (in vCPU 1 where it is of a vCPU) and says what must be named. */
struct flip {
        uint8_t    *byte;
        const char *what;
};

static void assert_each_is_seen(struct vm_state *a, struct vm_state *b, const struct flip *flips, size_t nr)
{
        for (size_t i = 0; i < nr; i++) {
                *flips[i].byte ^= 1;
                assert_differ(a, b, flips[i].what);
                *flips[i].byte ^= 1;
        }
        cr_assert(vm_state_equal(a, b, NULL));
}

Test(vm_state_equal, one_bit_in_any_piece_of_a_vcpu_is_named)
{
        struct vm_state    a = whole(), b = whole();
        struct vcpu_state *v = &b.vcpus[1];
        const struct flip  flips[] = {
                { (uint8_t *)&v->cpuid[2].eax, "vcpu 1 cpuid leaf 0xb index 1" },
                { (uint8_t *)&v->tsc_khz, "vcpu 1 tsc_khz byte 0" },
                { (uint8_t *)&v->mp_state, "vcpu 1 mp_state byte 0" },
                { (uint8_t *)&v->sregs + 17, "vcpu 1 sregs byte 17" },
                { (uint8_t *)&v->regs + sizeof(v->regs) - 1, "vcpu 1 regs byte 143" },
                { (uint8_t *)&v->fpu, "vcpu 1 fpu byte 0" },
                { v->xsave + 4095, "vcpu 1 xsave byte 4095" },
                { (uint8_t *)&v->xcrs, "vcpu 1 xcrs byte 0" },
                { (uint8_t *)&v->debugregs, "vcpu 1 debugregs byte 0" },
                { (uint8_t *)&v->lapic + 1023, "vcpu 1 lapic byte 1023" },
                { (uint8_t *)&v->msrs[1].data + 7, "vcpu 1 msr 0x10" },
                { v->nested + 3, "vcpu 1 nested byte 3" },
                { (uint8_t *)&v->events, "vcpu 1 events byte 0" },
        };

        static_assert(ARRAY_LEN(flips) == VCPU_PIECES, "a row for every piece");
        assert_each_is_seen(&a, &b, flips, ARRAY_LEN(flips));
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(vm_state_equal, one_bit_in_any_piece_of_the_platform_is_named)
{
        struct vm_state        a = whole(), b = whole();
        struct platform_state *p = &b.platform;
        const struct flip      flips[] = {
                { (uint8_t *)&p->pic_master, "pic_master byte 0" },
                { (uint8_t *)&p->pic_slave + 1, "pic_slave byte 1" },
                { (uint8_t *)&p->ioapic, "ioapic byte 0" },
                { (uint8_t *)&p->pit, "pit byte 0" },
                { (uint8_t *)&p->clock, "clock byte 0" },
        };

        static_assert(ARRAY_LEN(flips) == PLATFORM_PIECES, "a row for every piece");
        assert_each_is_seen(&a, &b, flips, ARRAY_LEN(flips));
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(vm_state_equal, one_bit_in_any_member_of_the_serial_port_is_named)
{
        struct vm_state      a = whole(), b = whole();
        struct serial_state *s = &b.devices[0].u.serial;

        a.devices[0].u.serial.rx_len = s->rx_len = 3;
        const struct flip flips[] = {
                { &s->ier, "device 0 serial" },
                { &s->iir, "device 0 serial" },
                { &s->fcr, "device 0 serial" },
                { &s->lcr, "device 0 serial" },
                { &s->mcr, "device 0 serial" },
                { &s->lsr, "device 0 serial" },
                { &s->msr, "device 0 serial" },
                { &s->scr, "device 0 serial" },
                { (uint8_t *)&s->divisor, "device 0 serial" },
                { (uint8_t *)&s->thr_pending, "device 0 serial" },
                { (uint8_t *)&s->rx_len, "device 0 serial" },
                { &s->rx[2], "device 0 serial" },
        };
        assert_each_is_seen(&a, &b, flips, ARRAY_LEN(flips));
        s->rx[3] = 1; /* past rx_len: nobody's */
        cr_assert(vm_state_equal(&a, &b, NULL));
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(vm_state_equal, pieces_that_neither_has_are_not_looked_at)
{
        struct vm_state a = whole(), b = whole();

        a.vcpus[1].have = b.vcpus[1].have = ALL_VCPU_PIECES & ~(1U << VCPU_REGS);
        a.platform.have = b.platform.have = 0;
        b.vcpus[1].regs.rip = 1;
        b.platform.clock.clock = 1;
        cr_assert(vm_state_equal(&a, &b, NULL));
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(vm_state_equal, a_piece_that_only_one_has_is_named)
{
        struct vm_state a = whole(), b = whole();

        b.vcpus[1].have &= ~(1U << VCPU_FPU);
        assert_differ(&a, &b, "vcpu 1 fpu: only one has it");
        b.vcpus[1].have = ALL_VCPU_PIECES;
        b.platform.have &= ~(1U << PLATFORM_PIT);
        assert_differ(&a, &b, "pit: only one has it");
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(vm_state_equal, lists_of_two_lengths_are_named_with_both)
{
        struct vm_state a = whole(), b = whole();

        b.vcpus[0].nr_msrs = 1;
        assert_differ(&a, &b, "vcpu 0 msrs: 2 and 1");
        assert_differ(&b, &a, "vcpu 0 msrs: 1 and 2");
        b.vcpus[0].nr_msrs = 2;
        b.nr_devices = 0;
        assert_differ(&a, &b, "devices: 1 and 0");
        b.nr_devices = 1;
        b.nr_vcpus = 1;
        assert_differ(&a, &b, "vcpus: 2 and 1");
        b.nr_vcpus = 2;
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(vm_state_equal, what_is_not_kvms_is_compared_too)
{
        struct vm_state a = whole(), b = whole();

        b.vcpus[1].apic_id = 1;
        assert_differ(&a, &b, "vcpu 1 apic_id");
        b.vcpus[1].apic_id = 0;
        b.vcpus[0].topology.cores = 2;
        assert_differ(&a, &b, "vcpu 0 topology");
        b.vcpus[0].topology.cores = 0;
        a.vcpus[0].cpuid_origin = CPUID_STRATOVIRT;
        assert_differ(&a, &b, "vcpu 0 cpuid_origin");
        b.vcpus[0].cpuid_origin = CPUID_STRATOVIRT;
        snprintf(b.devices[0].id, sizeof(b.devices[0].id), "other");
        assert_differ(&a, &b, "device 0: serial and other");
        b.machine = 9;
        assert_differ(&a, &b, "machine");
        vm_state_free(&a);
        vm_state_free(&b);
}
