/* The two tables of state: nothing is forgotten, nothing is there twice, and what must come before what does. */
#include "kvm/platform_state.h"
#include "kvm/vcpu_state.h"
#include "tests/unit/kvm/small_vm.h"

static size_t row_of(enum vcpu_piece p)
{
        size_t i = 0;

        while (i < VCPU_PIECES && vcpu_rows[i].piece != p)
                i++;
        return i;
}

static size_t platform_row_of(enum platform_piece p)
{
        size_t i = 0;

        while (i < PLATFORM_PIECES && platform_rows[i].piece != p)
                i++;
        return i;
}

Test(vcpu_state, every_piece_has_exactly_one_row_with_a_reason)
{
        for (unsigned int p = 0; p < VCPU_PIECES; p++) {
                size_t n = 0;

                for (size_t i = 0; i < VCPU_PIECES; i++)
                        n += vcpu_rows[i].piece == p;
                cr_assert_eq(n, 1, "%s has %zu rows", vcpu_piece_name(p), n);
        }
        for (size_t i = 0; i < VCPU_PIECES; i++) {
                cr_assert_not_null(vcpu_rows[i].save);
                cr_assert_not_null(vcpu_rows[i].load);
                cr_assert_gt(strlen(vcpu_rows[i].why_here), 10);
        }
}

Test(vcpu_state, what_must_come_before_what_does)
{
        const enum vcpu_piece order[][2] = {
                { VCPU_CPUID, VCPU_SREGS },    { VCPU_CPUID, VCPU_XCRS },     { VCPU_CPUID, VCPU_MSRS },
                { VCPU_TSC_KHZ, VCPU_MSRS },
                { VCPU_MP_STATE, VCPU_EVENTS }, { VCPU_SREGS, VCPU_REGS },    { VCPU_SREGS, VCPU_LAPIC },
                { VCPU_FPU, VCPU_XSAVE },
                { VCPU_LAPIC, VCPU_MSRS },     { VCPU_SREGS, VCPU_NESTED },   { VCPU_MSRS, VCPU_NESTED },
                { VCPU_REGS, VCPU_EVENTS },
        };

        for (size_t i = 0; i < ARRAY_LEN(order); i++)
                cr_assert_lt(row_of(order[i][0]), row_of(order[i][1]), "%s before %s", vcpu_piece_name(order[i][0]),
                             vcpu_piece_name(order[i][1]));
        cr_assert_eq(row_of(VCPU_EVENTS), VCPU_PIECES - 1, "events are last");
}

Test(platform_state, every_piece_has_exactly_one_row_with_a_reason)
{
        for (unsigned int p = 0; p < PLATFORM_PIECES; p++) {
                size_t n = 0;

                for (size_t i = 0; i < PLATFORM_PIECES; i++)
                        n += platform_rows[i].piece == p;
                cr_assert_eq(n, 1, "%s has %zu rows", platform_piece_name(p), n);
        }
        for (size_t i = 0; i < PLATFORM_PIECES; i++)
                cr_assert_gt(strlen(platform_rows[i].why_here), 10);
}

Test(platform_state, chips_come_before_the_timer_that_interrupts_them_and_the_timer_after_the_vcpus)
{
        cr_assert_lt(platform_row_of(PLATFORM_PIC_MASTER), platform_row_of(PLATFORM_PIT));
        cr_assert_lt(platform_row_of(PLATFORM_IOAPIC), platform_row_of(PLATFORM_PIT));
        cr_assert(platform_rows[platform_row_of(PLATFORM_PIT)].after_vcpus);
        cr_assert_not(platform_rows[platform_row_of(PLATFORM_IOAPIC)].after_vcpus);
        cr_assert_not(platform_rows[platform_row_of(PLATFORM_CLOCK)].after_vcpus);
}

Test(vcpu_state, everything_that_this_host_has_is_saved)
{
        static const uint8_t spin[] = { 0xeb, 0xfe };
        struct small_vm     *s = small_vm_boot(spin, sizeof(spin), 2);
        struct host_caps     caps = { 0 };
        struct vm_state      st = { 0 };
        struct err           e = { 0 };
        uint32_t             want = (1u << VCPU_PIECES) - 1;

        kvm_probe(&caps);
        want &= ~(caps.kvm_get_tsc_khz ? 0 : 1u << VCPU_TSC_KHZ);
        want &= ~(caps.kvm_nested_state ? 0 : 1u << VCPU_NESTED);
        want &= ~(caps.kvm_xcrs ? 0 : 1u << VCPU_XCRS);
        want &= ~(caps.kvm_xsave_bytes ? 1u << VCPU_FPU : 1u << VCPU_XSAVE);
        cr_assert_eq(vm_save(s->vm, &st, &e), 0, "%s", e.text);
        for (uint32_t i = 0; i < 2; i++) {
                cr_assert_eq(st.vcpus[i].have, want, "vCPU %u: have %#x, want %#x", i, st.vcpus[i].have, want);
                cr_assert_gt(st.vcpus[i].nr_cpuid, 10);
                cr_assert_gt(st.vcpus[i].nr_msrs, 10);
                cr_assert_eq(st.vcpus[i].xsave_bytes, caps.kvm_xsave_bytes);
        }
        cr_assert_eq(st.platform.have, (1u << PLATFORM_PIECES) - 1);
        cr_assert_eq(st.platform.clock.flags, 0);
        cr_assert_not_null(vm_state_device(&st, DEVICE_SERIAL));
        vm_state_free(&st);
        small_vm_free(s);
}

Test(vcpu_state, the_tsc_is_saved_before_its_deadline)
{
        static const uint8_t spin[] = { 0xeb, 0xfe };
        struct small_vm     *s = small_vm_boot(spin, sizeof(spin), 1);
        struct vm_state      st = { 0 };
        uint32_t             tsc = UINT32_MAX, deadline = UINT32_MAX;

        cr_assert_eq(vm_save(s->vm, &st, NULL), 0);
        for (uint32_t i = 0; i < st.vcpus[0].nr_msrs; i++) {
                if (st.vcpus[0].msrs[i].index == 0x10)
                        tsc = i;
                if (st.vcpus[0].msrs[i].index == 0x6e0)
                        deadline = i;
        }
        cr_assert_lt(tsc, deadline);
        cr_assert_lt(deadline, UINT32_MAX);
        vm_state_free(&st);
        small_vm_free(s);
}

/* A host with protection keys puts PKRU (component 9) into every area; so does one with state that this host's KVM never heard
 * of. */
Test(vcpu_state, xsave_components_that_the_guest_never_enabled_do_not_stop_a_load)
{
        static const uint8_t spin[] = { 0xeb, 0xfe };
        const uint64_t       all = 0x3ff;
        struct small_vm     *booted = small_vm_boot(spin, sizeof(spin), 1), *s = small_vm_bare(1, NULL);
        struct vm_load_report rep;
        struct vm_state      st = { 0 };
        struct err           e = { 0 };

        cr_assert_eq(vm_save(booted->vm, &st, &e), 0, "%s", e.text);
        if (!st.vcpus[0].xsave)
                cr_skip_test("this host has no XSAVE");
        memcpy(st.vcpus[0].xsave + 512, &all, sizeof(all));
        cr_assert_eq(vm_load(s->vm, &st, &rep, &e), 0, "%s", e.text);
        vm_state_free(&st);
        small_vm_free(s);
        small_vm_free(booted);
}
