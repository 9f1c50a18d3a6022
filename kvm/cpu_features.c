/* Feature bits by their names in /proc/cpuinfo (KVM's own by QEMU's). Bits: Intel SDM vol. 2 "CPUID", AMD64 APM vol. 3 appendix
 * E, Documentation/virt/kvm/x86/cpuid.rst. */
#include "kvm/cpu_features.h"

#include "core/base/units.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum cpuid_reg { EAX, EBX, ECX, EDX };
static const char *const reg_names[] = { "eax", "ebx", "ecx", "edx" };

struct feature_word {
        uint32_t       function, index;
        enum cpuid_reg reg;
        uint32_t       ignored; /* not features of the host, or says that something is missing */
        const char    *names[32];
};

/* Leaf 1 ECX: TSC_DEADLINE is KVM's own and was not always reported, OSXSAVE mirrors CR4, HYPERVISOR is the VMM's. EDX: HTT is
 * topology. Leaf 7: FDP_EXCPTN_ONLY, ZERO_FCS_FDS and RTM_ALWAYS_ABORT take something away; OSPKE mirrors CR4.
 * 0x80000001 EDX: AMD repeats bits of leaf 1 there. ECX: CMP_LEGACY and TOPOEXT are topology. */
static const struct feature_word words[] = {
        { 1, 0, EDX, 1u << 28,
          { "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", [11] = "sep", "mtrr", "pge", "mca", "cmov", "pat", "pse36",
            "pn", "clflush", [21] = "dts", "acpi", "mmx", "fxsr", "sse", "sse2", "ss", [29] = "tm", [31] = "pbe" } },
        { 1, 0, ECX, 1u << 24 | 1u << 27 | 1u << 31,
          { "pni", "pclmulqdq", "dtes64", "monitor", "ds_cpl", "vmx", "smx", "est", "tm2", "ssse3", "cid", "sdbg", "fma", "cx16", "xtpr",
            "pdcm", [17] = "pcid", "dca", "sse4_1", "sse4_2", "x2apic", "movbe", "popcnt", [25] = "aes", "xsave", [28] = "avx", "f16c",
            "rdrand" } },
        { 7, 0, EBX, 1u << 6 | 1u << 13,
          { "fsgsbase", "tsc_adjust", "sgx", "bmi1", "hle", "avx2", [7] = "smep", "bmi2", "erms", "invpcid", "rtm", "cqm", [14] = "mpx",
            "rdt_a", "avx512f", "avx512dq", "rdseed", "adx", "smap", "avx512ifma", [23] = "clflushopt", "clwb", "intel_pt", "avx512pf",
            "avx512er", "avx512cd", "sha_ni", "avx512bw", "avx512vl" } },
        { 7, 0, ECX, 1u << 4,
          { "prefetchwt1", "avx512vbmi", "umip", "pku", [5] = "waitpkg", "avx512_vbmi2", "shstk", "gfni", "vaes", "vpclmulqdq",
            "avx512_vnni", "avx512_bitalg", "tme", "avx512_vpopcntdq", [16] = "la57", [22] = "rdpid", "kl", "bus_lock_detect", "cldemote",
            [27] = "movdiri", "movdir64b", "enqcmd", "sgx_lc", "pks" } },
        { 7, 0, EDX, 1u << 11,
          { [2] = "avx512_4vnniw", "avx512_4fmaps", "fsrm", "uintr", [8] = "avx512_vp2intersect", "srbds_ctrl", "md_clear",
            [13] = "tsx_force_abort", "serialize", "hybrid_cpu", "tsxldtrk", [18] = "pconfig", "arch_lbr", "ibt", [22] = "amx_bf16",
            "avx512_fp16", "amx_tile", "amx_int8", "spec_ctrl", "intel_stibp", "flush_l1d", "arch_capabilities", "core_capabilities",
            "ssbd" } },
        { 7, 1, EAX, 0,
          { "sha512", "sm3", "sm4", "rao_int", "avx_vnni", "avx512_bf16", "lass", "cmpccxadd", "arch_perfmon_ext", [10] = "fzrm", "fsrs",
            "fsrc", [17] = "fred", "lkgs", "wrmsrns", [21] = "amx_fp16", "hreset", "avx_ifma", [26] = "lam", "msrlist", [31] = "movrs" } },
        { 7, 1, EDX, 0,
          { [4] = "avx_vnni_int8", "avx_ne_convert", [8] = "amx_complex", [10] = "avx_vnni_int16", [14] = "prefetchi", "user_msr",
            [18] = "cet_sss", "avx10" } },
        { 7, 2, EDX, 0, { "intel_psfd", "ipred_ctrl", "rrsba_ctrl", "ddpd_u", "bhi_ctrl", "mcdt_no" } },
        { 0xd, 0, EAX, 0,
          { "x87", "sse", "avx", "mpx", "mpx", "avx512f", "avx512f", "avx512f", [9] = "pku", [17] = "amx_tile", "amx_tile", "apx" } },
        { 0xd, 1, EAX, 0, { "xsaveopt", "xsavec", "xgetbv1", "xsaves", "xfd" } },
        { 0xd, 1, ECX, 0, { [8] = "intel_pt", [10] = "enqcmd", "shstk", "shstk", [14] = "uintr", "arch_lbr" } },
        { 0x80000001, 0, EDX, 0x0183f3ff,
          { [11] = "syscall", [19] = "mp", "nx", [22] = "mmxext", [25] = "fxsr_opt", "pdpe1gb", "rdtscp", [29] = "lm", "3dnowext", "3dnow" } },
        { 0x80000001, 0, ECX, 1u << 1 | 1u << 22,
          { "lahf_lm", [2] = "svm", "extapic", "cr8_legacy", "abm", "sse4a", "misalignsse", "3dnowprefetch", "osvw", "ibs", "xop", "skinit",
            "wdt", [15] = "lwp", "fma4", "tce", [19] = "nodeid_msr", [21] = "tbm", [23] = "perfctr_core", "perfctr_nb", [26] = "bpext",
            "ptsc", "perfctr_llc", "mwaitx" } },
        { 0x80000007, 0, EBX, 0, { "overflow_recov", "succor", [3] = "smca" } },
        { 0x80000007, 0, EDX, 0, { [8] = "constant_tsc" } },
        { 0x80000008, 0, EBX, 1u << 20, /* EferLmsleUnsupported takes something away */
          { "clzero", "irperf", "xsaveerptr", [4] = "rdpru", [9] = "wbnoinvd", [12] = "amd_ibpb", [14] = "amd_ibrs", "amd_stibp",
            "ibrs_always_on", "stibp_always_on", [23] = "amd_ppin", "amd_ssbd", "virt_ssbd", "amd_ssb_no", "cppc", "amd_psfd", "btc_no",
            "ibpb_ret", "brs" } },
        { 0x8000000a, 0, EDX, 0,
          { "npt", "lbrv", "svm_lock", "nrip_save", "tsc_scale", "vmcb_clean", "flushbyasid", "decodeassists", [10] = "pausefilter",
            [12] = "pfthreshold", "avic", [15] = "v_vmsave_vmload", "vgif", [18] = "x2avic", [20] = "v_spec_ctrl", [25] = "vnmi",
            [28] = "svme_addr_chk" } },
        { 0x80000021, 0, EAX, 0,
          { "no_nested_data_bp", "wrmsr_xx_base_ns", "lfence_rdtsc", [6] = "null_sel_clr_base", [8] = "autoibrs", "no_smm_ctl_msr", "fsrs",
            "fsrc", [20] = "prefetchi", [27] = "sbpb", "ibpb_brtype", "srso_no", "srso_user_kernel_no" } },
        { 0x80000022, 0, EAX, 0, { "perfmon_v2", "amd_lbr_v2", "amd_lbr_pmc_freeze" } },
        { 0x40000001, 0, EAX, 0,
          { "kvmclock", "kvm_nopiodelay", "kvm_mmu", "kvmclock2", "kvm_asyncpf", "kvm_steal_time", "kvm_pv_eoi", "kvm_pv_unhalt",
            [9] = "kvm_pv_tlb_flush", "kvm_asyncpf_vmexit", "kvm_pv_ipi", "kvm_poll_control", "kvm_pv_sched_yield", "kvm_asyncpf_int",
            "kvm_msi_ext_dest_id", "kvm_hc_map_gpa_range", "kvm_migration_control", [24] = "kvmclock_stable" } },
};

/* A control register's bit, and the feature without which it cannot be set. */
enum control { CR4, EFER };
struct control_bit {
        enum control   in;
        uint8_t        bit;
        uint32_t       function, index;
        enum cpuid_reg reg;
        uint8_t        feature_bit;
};

static const struct control_bit control_bits[] = {
        { CR4, 11, 7, 0, ECX, 2 },          /* UMIP */
        { CR4, 12, 7, 0, ECX, 16 },         /* LA57 */
        { CR4, 13, 1, 0, ECX, 5 },          /* VMXE */
        { CR4, 14, 1, 0, ECX, 6 },          /* SMXE */
        { CR4, 16, 7, 0, EBX, 0 },          /* FSGSBASE */
        { CR4, 17, 1, 0, ECX, 17 },         /* PCIDE */
        { CR4, 18, 1, 0, ECX, 26 },         /* OSXSAVE */
        { CR4, 20, 7, 0, EBX, 7 },          /* SMEP */
        { CR4, 21, 7, 0, EBX, 20 },         /* SMAP */
        { CR4, 22, 7, 0, ECX, 3 },          /* PKE */
        { CR4, 23, 7, 0, ECX, 7 },          /* CET */
        { CR4, 24, 7, 0, ECX, 31 },         /* PKS */
        { CR4, 25, 7, 0, EDX, 5 },          /* UINTR */
        { CR4, 28, 7, 1, EAX, 26 },         /* LAM_SUP */
        { EFER, 0, 0x80000001, 0, EDX, 11 }, /* SCE */
        { EFER, 8, 0x80000001, 0, EDX, 29 }, /* LME */
        { EFER, 11, 0x80000001, 0, EDX, 20 }, /* NXE */
        { EFER, 12, 0x80000001, 0, ECX, 2 }, /* SVME */
        { EFER, 14, 0x80000001, 0, EDX, 25 }, /* FFXSR */
        { EFER, 15, 0x80000001, 0, ECX, 17 }, /* TCE */
        { EFER, 21, 0x80000021, 0, EAX, 8 }, /* AUTOIBRS */
};

/* A bit for each bit of `words`. */
struct features {
        uint32_t bits[ARRAY_LEN(words)];
};

/* --- the list of names --- */

struct listing {
        char  *text;
        size_t size, len;
        int    count, unlisted;
};

/* Is it in the list? Some features have several bits. */
static bool is_listed(const struct listing *l, const char *name)
{
        size_t len = strlen(name);

        for (const char *at = l->text; (at = strstr(at, name)); at += len)
                if ((at == l->text || at[-1] == ' ') && (at[len] == 0 || at[len] == ','))
                        return true;
        return false;
}

#define ROOM_FOR_THE_REST 24 /* ", and 4294967295 more" */

__attribute__((format(printf, 2, 3))) static void list(struct listing *l, const char *fmt, ...)
{
        char    name[64];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(name, sizeof(name), fmt, ap);
        va_end(ap);
        if (is_listed(l, name))
                return;
        l->count++;
        if (l->unlisted || l->len + strlen(name) + 2 + ROOM_FOR_THE_REST >= l->size)
                l->unlisted++;
        else
                l->len += (size_t)snprintf(l->text + l->len, l->size - l->len, "%s%s", l->len ? ", " : "", name);
}

static void list_bit(struct listing *l, const struct feature_word *w, uint32_t bit)
{
        if (w->names[bit])
                list(l, "%s", w->names[bit]);
        else if (w->index)
                list(l, "leaf %#x.%u %s bit %u", w->function, w->index, reg_names[w->reg], bit);
        else
                list(l, w->function < 10 ? "leaf %u %s bit %u" : "leaf %#x %s bit %u", w->function, reg_names[w->reg], bit);
}

static void list_features(struct listing *l, const struct features *f)
{
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
                for (uint32_t bits = f->bits[i]; bits; bits &= bits - 1)
                        list_bit(l, &words[i], (uint32_t)__builtin_ctz(bits));
        if (l->unlisted)
                snprintf(l->text + l->len, l->size - l->len, "%s%d more", l->len ? ", and " : "", l->unlisted);
}

/* --- from the saved CPUID --- */

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid_entry2 *c, uint32_t nr, uint32_t function, uint32_t index)
{
        for (uint32_t i = 0; i < nr; i++)
                if (c[i].function == function && (!(c[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || c[i].index == index))
                        return &c[i];
        return NULL;
}

static struct features read_features(const struct kvm_cpuid_entry2 *c, uint32_t nr)
{
        struct features f;

        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
                const struct kvm_cpuid_entry2 *leaf = find(c, nr, words[i].function, words[i].index);
                const uint32_t                 regs[] = { leaf ? leaf->eax : 0, leaf ? leaf->ebx : 0, leaf ? leaf->ecx : 0, leaf ? leaf->edx : 0 };

                f.bits[i] = regs[words[i].reg] & ~words[i].ignored;
        }
        return f;
}

static bool has_cpuid(const struct vcpu_state *v)
{
        return v->cpuid_origin == CPUID_SAVED && v->have >> VCPU_CPUID & 1 && v->cpuid;
}

/* A vendor's name as leaf 0 spells it; a snapshot's bytes go to a terminal. */
static bool read_vendor(const struct kvm_cpuid_entry2 *c, uint32_t nr, char ret[13])
{
        const struct kvm_cpuid_entry2 *zero = find(c, nr, 0, 0);

        if (!zero)
                return false;
        memcpy(ret, (const uint32_t[]){ zero->ebx, zero->edx, zero->ecx }, 12);
        ret[12] = 0;
        for (int i = 0; i < 12; i++)
                if (ret[i] < ' ' || ret[i] > '~')
                        ret[i] = '?';
        return true;
}

static void list_vendor(struct listing *l, const struct vm_state *s, const struct cpuid_table *host)
{
        char saved[13], here[13];

        if (s->nr_vcpus && has_cpuid(&s->vcpus[0]) && read_vendor(s->vcpus[0].cpuid, s->vcpus[0].nr_cpuid, saved) &&
            read_vendor(host->v, host->nr, here) && strcmp(saved, here) != 0)
                list(l, "vendor %s, this host %s", saved, here);
}

/* --- from what the guest has switched on --- */

static size_t find_word(uint32_t function, uint32_t index, enum cpuid_reg reg)
{
        size_t i = 0;

        while (words[i].function != function || words[i].index != index || words[i].reg != reg)
                i++; /* the tables are constant: it is there */
        return i;
}

static uint64_t xcr0_of(const struct vcpu_state *v)
{
        for (uint32_t i = 0; v->have >> VCPU_XCRS & 1 && i < v->xcrs.nr_xcrs && i < KVM_MAX_XCRS; i++)
                if (v->xcrs.xcrs[i].xcr == 0)
                        return v->xcrs.xcrs[i].value;
        return 0;
}

static struct features infer_features(const struct vcpu_state *v)
{
        bool            has_sregs = v->have >> VCPU_SREGS & 1;
        const uint64_t  controls[] = { [CR4] = has_sregs ? v->sregs.cr4 : 0, [EFER] = has_sregs ? v->sregs.efer : 0 };
        struct features f = { 0 };

        for (size_t i = 0; i < ARRAY_LEN(control_bits); i++) {
                const struct control_bit *b = &control_bits[i];

                if (controls[b->in] >> b->bit & 1)
                        f.bits[find_word(b->function, b->index, b->reg)] |= 1u << b->feature_bit;
        }
        /* leaf 0xd EAX has the bits of XCR0; x87 and SSE are always there */
        f.bits[find_word(0xd, 0, EAX)] = (uint32_t)xcr0_of(v) & ~3u;
        return f;
}

int cpu_features_lacking(const struct vm_state *s, const struct cpuid_table *host, char *ret, size_t size)
{
        struct features here = read_features(host->v, host->nr), lacking = { 0 };
        struct listing  l = { .text = ret, .size = size };

        if (size)
                *ret = 0;
        for (uint32_t i = 0; i < s->nr_vcpus; i++) {
                const struct vcpu_state *v = &s->vcpus[i];
                struct features          seen = has_cpuid(v) ? read_features(v->cpuid, v->nr_cpuid) : infer_features(v);

                for (size_t k = 0; k < ARRAY_LEN(words); k++)
                        lacking.bits[k] |= seen.bits[k] & ~here.bits[k];
        }
        list_vendor(&l, s, host);
        list_features(&l, &lacking);
        return l.count;
}
