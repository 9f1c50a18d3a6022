/* formats/native_sections.c: the table of a machine's pieces on disk. */
#include "formats/native_sections.h"

#include "core/base/units.h"

#include <stdio.h>

#define IN(type, member) { offsetof(struct type, member), sizeof(((struct type *)NULL)->member), PIECE_INLINE, 1, 1 }
#define ARRAY(type, member, count, min, max) \
        { offsetof(struct type, member), sizeof(*((struct type *)NULL)->member), offsetof(struct type, count), min, max }

const struct piece_layout native_vcpu_pieces[] = {
        [VCPU_CPUID]     = ARRAY(vcpu_state, cpuid, nr_cpuid, 0, CPUID_MAX),
        [VCPU_TSC_KHZ]   = IN(vcpu_state, tsc_khz),
        [VCPU_MP_STATE]  = IN(vcpu_state, mp_state),
        [VCPU_SREGS]     = IN(vcpu_state, sregs),
        [VCPU_REGS]      = IN(vcpu_state, regs),
        [VCPU_FPU]       = IN(vcpu_state, fpu),
        [VCPU_XSAVE]     = ARRAY(vcpu_state, xsave, xsave_bytes, sizeof(struct kvm_xsave), XSAVE_MAX),
        [VCPU_XCRS]      = IN(vcpu_state, xcrs),
        [VCPU_DEBUGREGS] = IN(vcpu_state, debugregs),
        [VCPU_LAPIC]     = IN(vcpu_state, lapic),
        [VCPU_MSRS]      = ARRAY(vcpu_state, msrs, nr_msrs, 0, MSRS_MAX),
        [VCPU_NESTED]    = ARRAY(vcpu_state, nested, nested_bytes, sizeof(struct kvm_nested_state), NESTED_MAX),
        [VCPU_EVENTS]    = IN(vcpu_state, events),
};
static_assert(ARRAY_LEN(native_vcpu_pieces) == VCPU_PIECES, "every piece of a vCPU is on disk");
static_assert(sizeof(struct kvm_xsave) == 4096, "the least that KVM_SET_XSAVE reads");

const struct piece_layout native_platform_pieces[] = {
        [PLATFORM_PIC_MASTER] = IN(platform_state, pic_master),
        [PLATFORM_PIC_SLAVE]  = IN(platform_state, pic_slave),
        [PLATFORM_IOAPIC]     = IN(platform_state, ioapic),
        [PLATFORM_PIT]        = IN(platform_state, pit),
        [PLATFORM_CLOCK]      = IN(platform_state, clock),
};
static_assert(ARRAY_LEN(native_platform_pieces) == PLATFORM_PIECES, "every piece of the platform is on disk");

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
