/* core/model/host_files.h: what /proc and /sys say about this host, as far as restores depend on it.
 * Owns:    nothing.
 * Threads: plain data.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Numbers as files have them; -1 is a value of some. */
#define HOST_UNKNOWN  INT64_MIN /* the file is not there, or not for us, or holds no number */
#define HOST_NO_LIMIT INT64_MAX /* "max", "unlimited" */

#define HOST_WORD 64 /* bytes of a short text; "" is unknown */

/* The tightest limit of a cgroup and all above it. */
struct host_limit {
        int64_t value, used;  /* used: of the cgroup that sets it */
        char    where[256];   /* its directory; "" without a limit */
};

enum host_mitigation {
        MITIGATION_L1TF,
        MITIGATION_MDS,
        MITIGATION_MMIO_STALE_DATA,
        MITIGATION_TSA,
        MITIGATION_RETBLEED,
        MITIGATION_SRSO,
        MITIGATION_SPECTRE_V2,
        MITIGATION_VMSCAPE,
        MITIGATION_MELTDOWN,
        MITIGATION_ITLB_MULTIHIT,
        MITIGATION_OLD_MICROCODE,
        MITIGATIONS,
};

struct host_files {
        /* the kernel */
        char     release[HOST_WORD];
        char     lockdown[HOST_WORD]; /* "none", "integrity", "confidentiality" */
        int64_t  io_uring_disabled, unprivileged_bpf_disabled, perf_event_paranoid;
        bool     btf;
        int64_t  seccomp;      /* of this process: 0 none, 1 strict, 2 filters */
        int64_t  uid;
        uint64_t capabilities; /* of this process: effective ones */
        int64_t  memlock_bytes, open_files;
        /* memory */
        int64_t  total_bytes, available_bytes, swap_total_bytes, swap_free_bytes, commit_limit_bytes, committed_bytes;
        int64_t  max_map_count, overcommit_memory, unprivileged_userfaultfd, numa_balancing, ksm_run, nr_nodes;
        bool     swap_on_zram;
        char     zswap[HOST_WORD];
        /* huge pages */
        char     thp[HOST_WORD], thp_defrag[HOST_WORD], thp_shmem[HOST_WORD];
        int64_t  khugepaged_defrag;
        int64_t  huge_2m, huge_2m_free, huge_2m_reserved, huge_1g, huge_1g_free, huge_1g_reserved;
        /* the CPU */
        char     cpu[HOST_WORD], microcode[HOST_WORD];
        bool     vmx, svm, hypervisor, constant_tsc, nonstop_tsc;
        int64_t  smt;
        char     clocksource[HOST_WORD];
        char     governors[HOST_WORD]; /* all that are in use: "performance, powersave" */
        int64_t  idle_latency_us;      /* to wake up from the deepest idle state that may be used */
        char     mitigations[MITIGATIONS][160];
        /* KVM's module and its parameters */
        char     kvm_module[HOST_WORD]; /* "kvm_intel", "kvm_amd", or whatever else drives KVM */
        char     ept[HOST_WORD], npt[HOST_WORD], tdp_mmu[HOST_WORD], nx_huge_pages[HOST_WORD], enable_virt_at_load[HOST_WORD];
        int64_t  halt_poll_ns;
        /* cgroups: 2, 1 or 0 for none. Both may be mounted: the version is that of the memory controller. */
        int      cgroup_version;
        bool     cgroup_favordynmods;
        struct host_limit memory_max, memory_high, swap_max, huge_2m_max, pids_max;
        struct host_limit cpu_percent; /* 150: one and a half CPUs */
        struct host_limit io;          /* value: 0 where some device is limited */
};
