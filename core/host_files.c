/* /proc and /sys into struct host_files: tables of what is in which file, and the few that are more than a word or a number. */
#include "core/host_files.h"

#include "core/base/units.h"
#include "core/host_read.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct host_files, field)
#define KVM       "/sys/module/kvm/parameters/"
#define POOL_2M   "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define POOL_1G   "/sys/kernel/mm/hugepages/hugepages-1048576kB/"
#define THP       "/sys/kernel/mm/transparent_hugepage/"

static const struct {
        size_t      at;
        const char *path;
} numbers[] = {
        { AT(io_uring_disabled), "/proc/sys/kernel/io_uring_disabled" },
        { AT(unprivileged_bpf_disabled), "/proc/sys/kernel/unprivileged_bpf_disabled" },
        { AT(perf_event_paranoid), "/proc/sys/kernel/perf_event_paranoid" },
        { AT(max_map_count), "/proc/sys/vm/max_map_count" },
        { AT(overcommit_memory), "/proc/sys/vm/overcommit_memory" },
        { AT(unprivileged_userfaultfd), "/proc/sys/vm/unprivileged_userfaultfd" },
        { AT(numa_balancing), "/proc/sys/kernel/numa_balancing" },
        { AT(ksm_run), "/sys/kernel/mm/ksm/run" },
        { AT(khugepaged_defrag), THP "khugepaged/defrag" },
        { AT(huge_2m), POOL_2M "nr_hugepages" },
        { AT(huge_2m_free), POOL_2M "free_hugepages" },
        { AT(huge_2m_reserved), POOL_2M "resv_hugepages" },
        { AT(huge_1g), POOL_1G "nr_hugepages" },
        { AT(huge_1g_free), POOL_1G "free_hugepages" },
        { AT(huge_1g_reserved), POOL_1G "resv_hugepages" },
        { AT(smt), "/sys/devices/system/cpu/smt/active" },
        { AT(halt_poll_ns), KVM "halt_poll_ns" },
};

/* A line, or the word in brackets. */
static const struct {
        size_t      at;
        const char *path;
        bool        choice;
} words[] = {
        { AT(release), "/proc/sys/kernel/osrelease", false },
        { AT(lockdown), "/sys/kernel/security/lockdown", true },
        { AT(zswap), "/sys/module/zswap/parameters/enabled", false },
        { AT(thp), THP "enabled", true },
        { AT(thp_defrag), THP "defrag", true },
        { AT(thp_shmem), THP "shmem_enabled", true },
        { AT(clocksource), "/sys/devices/system/clocksource/clocksource0/current_clocksource", false },
        { AT(ept), "/sys/module/kvm_intel/parameters/ept", false },
        { AT(npt), "/sys/module/kvm_amd/parameters/npt", false },
        { AT(tdp_mmu), KVM "tdp_mmu", false },
        { AT(nx_huge_pages), KVM "nx_huge_pages", false },
        { AT(enable_virt_at_load), KVM "enable_virt_at_load", false },
};

/* "MemTotal:  24683656 kB", "Max locked memory  8388608  8388608  bytes" */
static const struct {
        size_t      at;
        const char *path, *key;
        int64_t     unit;
} keyed[] = {
        { AT(total_bytes), "/proc/meminfo", "MemTotal:", KIB },
        { AT(available_bytes), "/proc/meminfo", "MemAvailable:", KIB },
        { AT(swap_total_bytes), "/proc/meminfo", "SwapTotal:", KIB },
        { AT(swap_free_bytes), "/proc/meminfo", "SwapFree:", KIB },
        { AT(commit_limit_bytes), "/proc/meminfo", "CommitLimit:", KIB },
        { AT(committed_bytes), "/proc/meminfo", "Committed_AS:", KIB },
        { AT(memlock_bytes), "/proc/self/limits", "Max locked memory", 1 },
        { AT(open_files), "/proc/self/limits", "Max open files", 1 },
        { AT(seccomp), "/proc/self/status", "Seccomp:", 1 },
        { AT(uid), "/proc/self/status", "Uid:", 1 },
};

static const char *const vulnerabilities[MITIGATIONS] = {
        [MITIGATION_L1TF] = "l1tf",
        [MITIGATION_MDS] = "mds",
        [MITIGATION_MMIO_STALE_DATA] = "mmio_stale_data",
        [MITIGATION_TSA] = "tsa",
        [MITIGATION_RETBLEED] = "retbleed",
        [MITIGATION_SRSO] = "spec_rstack_overflow",
        [MITIGATION_SPECTRE_V2] = "spectre_v2",
        [MITIGATION_VMSCAPE] = "vmscape",
        [MITIGATION_MELTDOWN] = "meltdown",
        [MITIGATION_ITLB_MULTIHIT] = "itlb_multihit",
        [MITIGATION_OLD_MICROCODE] = "old_microcode",
};

static int64_t keyed_number(const char *root, const char *path, const char *key, int64_t unit)
{
        char text[64];
        int64_t v = host_read_keyed(root, path, key, text, sizeof(text)) ? host_parse_number(text, NULL) : HOST_UNKNOWN;

        return v == HOST_UNKNOWN || v == HOST_NO_LIMIT || v > INT64_MAX / unit ? v : v * unit;
}

/* Is the word one of the list? */
static bool has_word(const char *list, const char *word)
{
        size_t n = strlen(word);

        for (const char *at = list; (at = strstr(at, word)); at += n)
                if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == 0))
                        return true;
        return false;
}

static void read_cpu(const char *root, struct host_files *f)
{
        char flags[4096] = "";

        host_read_keyed(root, "/proc/cpuinfo", "model name", f->cpu, sizeof(f->cpu));
        host_read_keyed(root, "/proc/cpuinfo", "microcode", f->microcode, sizeof(f->microcode));
        host_read_keyed(root, "/proc/cpuinfo", "flags", flags, sizeof(flags));
        f->vmx = has_word(flags, "vmx");
        f->svm = has_word(flags, "svm");
        f->hypervisor = has_word(flags, "hypervisor");
        f->constant_tsc = has_word(flags, "constant_tsc");
        f->nonstop_tsc = has_word(flags, "nonstop_tsc");
}

static void read_mitigations(const char *root, struct host_files *f)
{
        char path[128];

        for (size_t i = 0; i < MITIGATIONS; i++) {
                snprintf(path, sizeof(path), "/sys/devices/system/cpu/vulnerabilities/%s", vulnerabilities[i]);
                host_read_line(root, path, f->mitigations[i], sizeof(f->mitigations[i]));
        }
}

/* --- what stands in more than one file --- */

struct hits {
        const char        *root;
        struct host_files *f;
};

/* Two words that differ make a list. */
static void add_governor(void *arg, const char *path)
{
        struct hits *h = arg;
        char word[32], *list = h->f->governors;
        size_t n = strlen(list);

        if (host_read_line(h->root, path, word, sizeof(word)) && !strstr(list, word))
                snprintf(list + n, sizeof(h->f->governors) - n, "%s%s", n ? ", " : "", word);
}

/* path: .../cpuidle/stateN/latency, in us, of a state that may be used */
static void add_idle_state(void *arg, const char *path)
{
        struct hits *h = arg;
        char disable[256];
        int64_t us = host_read_number(h->root, path);

        snprintf(disable, sizeof(disable), "%.*s/disable", (int)(strrchr(path, '/') - path), path);
        if (host_read_number(h->root, disable) != 1 && us != HOST_UNKNOWN && us > h->f->idle_latency_us)
                h->f->idle_latency_us = us;
}

/* The module that KVM stands on: kvm_intel, kvm_amd, or another. */
static void add_kvm_module(void *arg, const char *path)
{
        struct hits *h = arg;

        snprintf(h->f->kvm_module, sizeof(h->f->kvm_module), "%.60s", strrchr(path, '/') + 1);
}

static void add_node(void *arg, const char *path)
{
        struct hits *h = arg;

        (void)path;
        h->f->nr_nodes++;
}

static void read_many(const char *root, struct host_files *f)
{
        struct hits h = {root, f};

        f->idle_latency_us = HOST_UNKNOWN;
        host_glob(root, "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor", add_governor, &h);
        host_glob(root, "/sys/devices/system/cpu/cpu0/cpuidle/state*/latency", add_idle_state, &h);
        host_glob(root, "/sys/module/kvm_*", add_kvm_module, &h);
        host_glob(root, "/sys/devices/system/node/node[0-9]*", add_node, &h);
        f->swap_on_zram = host_read_keyed(root, "/proc/swaps", "/dev/zram", (char[8]){0}, 8);
}

void host_files_read(const char *root, struct host_files *ret)
{
        char caps[32];

        static_assert(sizeof((struct host_files){0}.release) == HOST_WORD, "every word of the table below has this size");
        *ret = (struct host_files){0};
        for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
                *(int64_t *)(void *)((char *)ret + numbers[i].at) = host_read_number(root, numbers[i].path);
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
                (words[i].choice ? host_read_choice : host_read_line)(root, words[i].path, (char *)ret + words[i].at, HOST_WORD);
        for (size_t i = 0; i < ARRAY_LEN(keyed); i++)
                *(int64_t *)(void *)((char *)ret + keyed[i].at) = keyed_number(root, keyed[i].path, keyed[i].key, keyed[i].unit);
        if (host_read_keyed(root, "/proc/self/status", "CapEff:", caps, sizeof(caps)))
                ret->capabilities = strtoull(caps, NULL, 16);
        ret->btf = host_there(root, "/sys/kernel/btf/vmlinux");
        read_cpu(root, ret);
        read_mitigations(root, ret);
        read_many(root, ret);
        host_cgroup_read(root, ret);
}
