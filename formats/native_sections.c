/* formats/native_sections.c: which pieces of a machine a state file holds, and what they are called there. */
#include "formats/native_sections.h"

#include "core/base/units.h"

#include <stdio.h>

const struct piece_rule native_vcpu_rules[] = {
        [VCPU_CPUID]     = { 1, CPUID_MAX, true },
        [VCPU_TSC_KHZ]   = { 1, 1, false }, /* not told where the host's TSC is unstable */
        [VCPU_MP_STATE]  = { 1, 1, true },
        [VCPU_SREGS]     = { 1, 1, true },
        [VCPU_REGS]      = { 1, 1, true },
        [VCPU_FPU]       = { 1, 1, false }, /* this one or XSAVE with XCRS: lacks_fpu() */
        [VCPU_XSAVE]     = { sizeof(struct kvm_xsave), XSAVE_MAX, false },
        [VCPU_XCRS]      = { 1, 1, false },
        [VCPU_DEBUGREGS] = { 1, 1, true },
        [VCPU_LAPIC]     = { 1, 1, true },
        [VCPU_MSRS]      = { 1, MSRS_MAX, true },
        [VCPU_NESTED]    = { sizeof(struct kvm_nested_state), NESTED_MAX, false },
        [VCPU_EVENTS]    = { 1, 1, true },
};
static_assert(ARRAY_LEN(native_vcpu_rules) == VCPU_PIECES, "every piece of a vCPU has its rule");
static_assert(sizeof(struct kvm_xsave) == 4096, "the least that KVM_SET_XSAVE reads");

const struct piece_rule native_platform_rules[] = {
        [PLATFORM_PIC_MASTER] = { 1, 1, true },
        [PLATFORM_PIC_SLAVE]  = { 1, 1, true },
        [PLATFORM_IOAPIC]     = { 1, 1, true },
        [PLATFORM_PIT]        = { 1, 1, true },
        [PLATFORM_CLOCK]      = { 1, 1, true },
};
static_assert(ARRAY_LEN(native_platform_rules) == PLATFORM_PIECES, "every piece of the platform has its rule");

static unsigned int first_lacking(const struct piece_rule *rules, unsigned int nr, uint32_t have)
{
        unsigned int p = 0;

        while (p < nr && (!rules[p].needed || (have >> p & 1)))
                p++;
        return p;
}

/* XSAVE means little without XCR0, which says what of it the guest had enabled. */
static enum vcpu_piece lacks_fpu(uint32_t have)
{
        if (have >> VCPU_XSAVE & 1)
                return have >> VCPU_XCRS & 1 ? VCPU_PIECES : VCPU_XCRS;
        return have >> VCPU_FPU & 1 ? VCPU_PIECES : VCPU_XSAVE;
}

enum vcpu_piece native_vcpu_lacks(uint32_t have)
{
        enum vcpu_piece p = first_lacking(native_vcpu_rules, VCPU_PIECES, have);

        return p == VCPU_PIECES ? lacks_fpu(have) : p;
}

enum platform_piece native_platform_lacks(uint32_t have)
{
        return first_lacking(native_platform_rules, PLATFORM_PIECES, have);
}

void native_vcpu_section(char ret[NATIVE_NAME_MAX], uint32_t vcpu, const char *piece)
{
        snprintf(ret, NATIVE_NAME_MAX, "vcpu.%u.%s", vcpu, piece);
}

void native_platform_section(char ret[NATIVE_NAME_MAX], const char *piece)
{
        snprintf(ret, NATIVE_NAME_MAX, "platform.%s", piece);
}

void native_device_section(char ret[NATIVE_NAME_MAX], uint32_t device, const char *kind)
{
        snprintf(ret, NATIVE_NAME_MAX, "device.%u.%s", device, kind);
}

void native_state_free(struct native_state *s)
{
        vm_state_free(&s->vm);
}
