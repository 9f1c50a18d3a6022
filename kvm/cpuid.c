/* Makes a guest's CPUID table out of the host's. Leaves and bits: Intel SDM vol. 2 "CPUID", AMD64 APM vol. 3 appendix E. */
#include "kvm/cpuid.h"

#include "core/base/units.h"
#include "kvm/sys.h"

#include <assert.h>
#include <cpuid.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

static_assert(offsetof(struct cpuid_table, v) == offsetof(struct kvm_cpuid2, entries), "as KVM_SET_CPUID2 takes it");
static_assert(sizeof(struct kvm_cpuid_entry2) == 40, "as KVM_SET_CPUID2 takes it");

#define LEAF_1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF_1_ECX_HYPERVISOR   (1u << 31)
#define LEAF_1_EDX_HTT          (1u << 28)
#define LEAF_1_CLFLUSH_64       (8u << 8) /* in units of 8 bytes */
#define LEAF_6_ECX_EPB          (1u << 3)
#define LEAF_8_1_ECX_CMP_LEGACY (1u << 1)

#define LEVEL_SMT  (1u << 8)
#define LEVEL_CORE (2u << 8)
#define LEVEL_DIE  (5u << 8)

#define LEAF_TOPOLOGY    0xbu
#define LEAF_TOPOLOGY_V2 0x1fu

/* Caches and the brand string: StratoVirt takes them from the CPU, whatever KVM says (stratovirt.md 2.7). */
static bool is_read_from_cpu(uint32_t function)
{
        return function == 2 || function == 4 || (function >= 0x80000002 && function <= 0x80000004);
}

int cpuid_host(int kvm_fd, struct cpuid_table *ret, struct err *e)
{
        struct cpuid_table t = { .nr = CPUID_MAX };
        int                r = kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, &t);

        if (r < 0)
                return err_set(e, r, "KVM_GET_SUPPORTED_CPUID: %s", strerror(-r));
        for (uint32_t i = 0; i < t.nr; i++)
                if (is_read_from_cpu(t.v[i].function))
                        __cpuid_count(t.v[i].function, t.v[i].index, t.v[i].eax, t.v[i].ebx, t.v[i].ecx, t.v[i].edx);
        *ret = t;
        return 0;
}

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *t, uint32_t function, uint32_t index)
{
        for (uint32_t i = 0; i < t->nr; i++) {
                struct kvm_cpuid_entry2 *c = &t->v[i];

                if (c->function == function && (!(c->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || c->index == index))
                        return c;
        }
        return NULL;
}

static int append(struct cpuid_table *t, uint32_t function, uint32_t index)
{
        if (t->nr == CPUID_MAX)
                return -ENOSPC;
        t->v[t->nr++] = (struct kvm_cpuid_entry2){ .function = function, .index = index,
                                                   .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX };
        return 0;
}

static void drop_leaf(struct cpuid_table *t, uint32_t function)
{
        uint32_t kept = 0;

        for (uint32_t i = 0; i < t->nr; i++)
                if (t->v[i].function != function)
                        t->v[kept++] = t->v[i];
        t->nr = kept;
}

/* How many bits number n things. */
static uint32_t bits_for(uint32_t n)
{
        return n > 1 ? 32 - (uint32_t)__builtin_clz(n - 1) : 0;
}

/* --- rouse's own machine --- */

/* Sub-leaves: one thread in a core, n cores in the package, the end. */
static int append_topology(struct cpuid_table *t, uint32_t leaf, uint32_t apic_id, uint32_t nr_vcpus)
{
        const struct {
                uint32_t shift, count, type;
        } levels[] = { { 0, 1, LEVEL_SMT }, { bits_for(nr_vcpus), nr_vcpus, LEVEL_CORE }, { 0, 0, 0 } };

        for (uint32_t i = 0; i < ARRAY_LEN(levels); i++) {
                struct kvm_cpuid_entry2 *c;

                if (append(t, leaf, i) < 0)
                        return -ENOSPC;
                c = &t->v[t->nr - 1];
                c->eax = levels[i].shift;
                c->ebx = levels[i].count;
                c->ecx = levels[i].type | i;
                c->edx = apic_id;
        }
        return 0;
}

/* Every topology leaf that the host knows, as sub-leaves of this VM. (KVM lists one all-zero entry where it has nothing to
 * say.) */
static int replace_topology(struct cpuid_table *t, uint32_t apic_id, uint32_t nr_vcpus)
{
        const uint32_t                 leaves[] = { LEAF_TOPOLOGY, LEAF_TOPOLOGY_V2 };
        const struct kvm_cpuid_entry2 *zero = cpuid_find(t, 0, 0);
        uint32_t                       max_leaf = zero ? zero->eax : 0;

        for (size_t i = 0; i < ARRAY_LEN(leaves); i++) {
                drop_leaf(t, leaves[i]);
                if (leaves[i] <= max_leaf && append_topology(t, leaves[i], apic_id, nr_vcpus) < 0)
                        return -ENOSPC;
        }
        return 0;
}

static void set_leaf_1(struct kvm_cpuid_entry2 *c, uint32_t apic_id, uint32_t nr_vcpus)
{
        uint32_t nr_ids = 1u << bits_for(nr_vcpus);

        c->ebx = apic_id << 24 | nr_ids << 16 | LEAF_1_CLFLUSH_64 | (c->ebx & 0xff);
        c->ecx |= LEAF_1_ECX_HYPERVISOR | LEAF_1_ECX_TSC_DEADLINE;
        c->edx = nr_vcpus > 1 ? c->edx | LEAF_1_EDX_HTT : c->edx & ~LEAF_1_EDX_HTT;
}

/* Caches of level 3 and up belong to the package, the others to one core. (leaf 4, and AMD's 0x8000001d with the same fields) */
static void set_cache_sharing(struct kvm_cpuid_entry2 *c, uint32_t nr_vcpus, bool has_cores_field)
{
        uint32_t level = c->eax >> 5 & 7;
        uint32_t sharing = level >= 3 ? (1u << bits_for(nr_vcpus)) - 1 : 0;

        if (!(c->eax & 0x1f)) /* no cache here: the end of the list */
                return;
        c->eax = (c->eax & 0x3fff) | sharing << 14;
        if (has_cores_field)
                c->eax |= ((1u << bits_for(nr_vcpus)) - 1) << 26;
}

/* AMD's own topology leaves; KVM lists the last of them on AMD hosts only. */
static void set_amd_entry(struct kvm_cpuid_entry2 *c, uint32_t apic_id, uint32_t nr_vcpus)
{
        switch (c->function) {
        case 0x80000001:
                c->ecx = nr_vcpus > 1 ? c->ecx | LEAF_8_1_ECX_CMP_LEGACY : c->ecx & ~LEAF_8_1_ECX_CMP_LEGACY;
                break;
        case 0x80000008: /* ApicIdSize, NC */
                c->ecx = (c->ecx & ~0xf0ffu) | bits_for(nr_vcpus) << 12 | (nr_vcpus - 1);
                break;
        case 0x8000001e: /* extended APIC id; core id, one thread in it; node 0 of 1 */
                c->eax = apic_id;
                c->ebx = apic_id & 0xff;
                c->ecx = 0;
                break;
        case 0x8000001d:
                set_cache_sharing(c, nr_vcpus, false);
                break;
        default:
                break;
        }
}

int cpuid_native(const struct cpuid_table *host, uint32_t apic_id, uint32_t nr_vcpus, struct cpuid_table *ret)
{
        struct cpuid_table t = *host;
        int                r = replace_topology(&t, apic_id, nr_vcpus);
        bool               is_amd = cpuid_find(&t, 0x8000001e, 0);

        if (r < 0)
                return r;
        for (uint32_t i = 0; i < t.nr; i++) {
                if (t.v[i].function == 1)
                        set_leaf_1(&t.v[i], apic_id, nr_vcpus);
                else if (t.v[i].function == 4)
                        set_cache_sharing(&t.v[i], nr_vcpus, true);
                else if (is_amd)
                        set_amd_entry(&t.v[i], apic_id, nr_vcpus);
        }
        *ret = t;
        return 0;
}

/* --- StratoVirt's --- */

struct levels {
        uint32_t core_offset, die_offset, package_offset;
};

/* Each term is 24 too big in 2.5.0, which counts the leading zeros of a u8 and takes them from 32. */
static struct levels stratovirt_levels(const struct cpu_topology *t)
{
        uint32_t      extra = t->u8_offsets ? 24 : 0;
        struct levels l;

        l.core_offset = extra + bits_for(t->threads);
        l.die_offset = l.core_offset + extra + bits_for(t->cores);
        l.package_offset = l.die_offset + extra + bits_for(t->dies);
        return l;
}

static void set_level(struct kvm_cpuid_entry2 *c, uint32_t apic_id, uint32_t shift, uint32_t count, uint32_t type)
{
        c->eax = shift;
        c->ebx = count;
        c->ecx = (c->index & 0xff) | type;
        c->edx = apic_id;
}

static void set_leaf_b(struct kvm_cpuid_entry2 *c, uint32_t apic_id, const struct cpu_topology *t)
{
        struct levels l = stratovirt_levels(t);

        if (c->index == 0)
                set_level(c, apic_id, l.core_offset, t->threads, LEVEL_SMT);
        else if (c->index == 1)
                set_level(c, apic_id, l.package_offset, (uint32_t)t->threads * t->cores, LEVEL_CORE);
        else
                set_level(c, apic_id, 0, 0, 0);
}

static void set_leaf_1f(struct kvm_cpuid_entry2 *c, uint32_t apic_id, const struct cpu_topology *t)
{
        struct levels l = stratovirt_levels(t);

        if (t->dies < 2)
                c->eax = c->ebx = c->ecx = c->edx = 0;
        else if (c->index == 0)
                set_level(c, apic_id, l.core_offset, t->threads, LEVEL_SMT);
        else if (c->index == 1)
                set_level(c, apic_id, l.die_offset, (uint32_t)t->threads * t->cores, LEVEL_CORE);
        else if (c->index == 2)
                set_level(c, apic_id, l.package_offset, (uint32_t)t->threads * t->cores * t->dies, LEVEL_DIE);
        else
                set_level(c, apic_id, 0, 0, 0);
}

static void set_leaf_4(struct kvm_cpuid_entry2 *c, uint32_t max_vcpus)
{
        c->eax &= ~(0x3fu << 26);
        if ((c->eax & 0x1ffff) && max_vcpus > 1)
                c->eax |= (max_vcpus - 1) << 26;
}

static void set_stratovirt_entry(struct kvm_cpuid_entry2 *c, uint32_t apic_id, const struct cpu_topology *t)
{
        switch (c->function) {
        case 1:
                c->ebx = apic_id << 24 | LEAF_1_CLFLUSH_64;
                c->ecx |= LEAF_1_ECX_HYPERVISOR | LEAF_1_ECX_TSC_DEADLINE;
                break;
        case 4:
                set_leaf_4(c, t->max_vcpus);
                break;
        case 6:
                c->ecx &= ~LEAF_6_ECX_EPB;
                break;
        case 0xa: /* performance counters, version 2 only */
                if ((c->eax & 0xff) != 2 || !(c->eax >> 8 & 0xff))
                        c->eax = 0;
                break;
        case LEAF_TOPOLOGY:
                set_leaf_b(c, apic_id, t);
                break;
        case LEAF_TOPOLOGY_V2:
                set_leaf_1f(c, apic_id, t);
                break;
        default:
                break;
        }
}

/* Several dies need leaf 0x1f, which a host of one die may not have: four sub-leaves are added. */
static int add_leaf_1f(struct cpuid_table *t)
{
        struct kvm_cpuid_entry2 *max = cpuid_find(t, 0, 0);

        if (!max || max->eax >= LEAF_TOPOLOGY_V2)
                return 0;
        max->eax = LEAF_TOPOLOGY_V2;
        for (uint32_t i = 0; i < 4; i++)
                if (append(t, LEAF_TOPOLOGY_V2, i) < 0)
                        return -ENOSPC;
        return 0;
}

int cpuid_stratovirt(const struct cpuid_table *host, uint32_t apic_id, const struct cpu_topology *t, struct cpuid_table *ret)
{
        struct cpuid_table c = *host;

        if (!t->max_vcpus || !t->threads || !t->cores || !t->dies)
                return -EINVAL;
        if (t->dies > 1 && add_leaf_1f(&c) < 0)
                return -ENOSPC;
        for (uint32_t i = 0; i < c.nr; i++)
                set_stratovirt_entry(&c.v[i], apic_id, t);
        *ret = c;
        return 0;
}
