/* formats/native_sections.c: which pieces of a machine a state file holds, and what they are called there. */
#include "formats/native_sections.h"

#include "core/base/units.h"

#include <stdio.h>

const struct piece_rule native_vcpu_rules[] = {
        [VCPU_CPUID]     = { 1, CPUID_MAX, false }, /* needed unless it is made anew: native_vcpu_lacks() */
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
        [PLATFORM_PIC_MASTER] = { 1, 1, false }, /* StratoVirt saves none: both or neither, native_platform_lacks() */
        [PLATFORM_PIC_SLAVE]  = { 1, 1, false },
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

enum vcpu_piece native_vcpu_lacks(const struct vcpu_state *v)
{
        enum vcpu_piece p;

        if (v->cpuid_origin == CPUID_SAVED && !(v->have >> VCPU_CPUID & 1))
                return VCPU_CPUID;
        p = first_lacking(native_vcpu_rules, VCPU_PIECES, v->have);
        return p == VCPU_PIECES ? lacks_fpu(v->have) : p;
}

enum platform_piece native_platform_lacks(uint32_t have)
{
        bool master = have >> PLATFORM_PIC_MASTER & 1, slave = have >> PLATFORM_PIC_SLAVE & 1;

        if (master != slave)
                return master ? PLATFORM_PIC_SLAVE : PLATFORM_PIC_MASTER;
        return first_lacking(native_platform_rules, PLATFORM_PIECES, have);
}

const char *native_vcpu_trouble(const struct vcpu_state *v, uint32_t nr_vcpus)
{
        const struct cpu_topology *t = &v->topology;

        if (v->cpuid_origin != CPUID_SAVED && v->cpuid_origin != CPUID_STRATOVIRT)
                return "a CPUID that was saved or that is made anew";
        if (!t->max_vcpus && (t->threads || t->cores || t->dies || t->sockets || t->u8_offsets))
                return "a topology, or none";
        if (t->max_vcpus && (t->max_vcpus < nr_vcpus || !t->threads || !t->cores || !t->dies || !t->sockets))
                return "a topology that holds all vCPUs";
        if (v->cpuid_origin != CPUID_STRATOVIRT)
                return NULL;
        if (!t->max_vcpus)
                return "a topology to make the CPUID from";
        return v->have >> VCPU_CPUID & 1 ? "no section cpuid beside one that is made anew" : NULL;
}

bool native_id_is_good(const char id[NATIVE_NAME_MAX])
{
        for (size_t i = 0; i < NATIVE_NAME_MAX; i++) {
                if (!id[i])
                        return true;
                if (id[i] <= ' ' || id[i] > '~')
                        return false;
        }
        return false;
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
        parent_place_free(&s->parent_place);
}
