/* core/model/vm_pieces.c: the one table of where each piece of a saved machine lies. */
#include "core/model/vm_pieces.h"

#include <assert.h>
#include <string.h>

#define IN(type, member) { offsetof(struct type, member), sizeof(((struct type *)NULL)->member), PIECE_INLINE }
#define ARRAY(type, member, count) \
        { offsetof(struct type, member), sizeof(*((struct type *)NULL)->member), offsetof(struct type, count) }

const struct piece_place vcpu_places[] = {
        [VCPU_CPUID]     = ARRAY(vcpu_state, cpuid, nr_cpuid),
        [VCPU_TSC_KHZ]   = IN(vcpu_state, tsc_khz),
        [VCPU_MP_STATE]  = IN(vcpu_state, mp_state),
        [VCPU_SREGS]     = IN(vcpu_state, sregs),
        [VCPU_REGS]      = IN(vcpu_state, regs),
        [VCPU_FPU]       = IN(vcpu_state, fpu),
        [VCPU_XSAVE]     = ARRAY(vcpu_state, xsave, xsave_bytes),
        [VCPU_XCRS]      = IN(vcpu_state, xcrs),
        [VCPU_DEBUGREGS] = IN(vcpu_state, debugregs),
        [VCPU_LAPIC]     = IN(vcpu_state, lapic),
        [VCPU_MSRS]      = ARRAY(vcpu_state, msrs, nr_msrs),
        [VCPU_NESTED]    = ARRAY(vcpu_state, nested, nested_bytes),
        [VCPU_EVENTS]    = IN(vcpu_state, events),
};
static_assert(ARRAY_LEN(vcpu_places) == VCPU_PIECES, "every piece of a vCPU has its place");

const struct piece_place platform_places[] = {
        [PLATFORM_PIC_MASTER] = IN(platform_state, pic_master),
        [PLATFORM_PIC_SLAVE]  = IN(platform_state, pic_slave),
        [PLATFORM_IOAPIC]     = IN(platform_state, ioapic),
        [PLATFORM_PIT]        = IN(platform_state, pit),
        [PLATFORM_CLOCK]      = IN(platform_state, clock),
};
static_assert(ARRAY_LEN(platform_places) == PLATFORM_PIECES, "every piece of the platform has its place");

static_assert(sizeof(struct kvm_msr_entry) == 16, "as KVM_SET_MSRS takes it");
static_assert(sizeof(struct kvm_cpuid_entry2) == 40, "as KVM_SET_CPUID2 takes it");

struct piece_bytes piece_bytes(const void *object, const struct piece_place *place)
{
        const uint8_t     *base = object;
        struct piece_bytes b = { base + place->offset, place->element_bytes };
        uint32_t           count;

        if (place->count_offset == PIECE_INLINE)
                return b;
        memcpy(&b.p, base + place->offset, sizeof(b.p));
        memcpy(&count, base + place->count_offset, sizeof(count));
        b.len = count * place->element_bytes;
        return b;
}
