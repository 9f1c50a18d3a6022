/* core/model/host_caps.h: what this host can do, probed once, passed around const; tests mask fields.
 * Owns:    nothing.
 * Threads: plain data.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum uffd_way {
        UFFD_WAY_NONE,    /* no permission, or no userfaultfd in the kernel */
        UFFD_WAY_DEVICE,  /* /dev/userfaultfd (Linux 6.1) */
        UFFD_WAY_SYSCALL, /* userfaultfd(2): CAP_SYS_PTRACE or vm.unprivileged_userfaultfd=1 */
};

struct host_caps {
        /* KVM; kvm_errno is 0 when /dev/kvm opened and has API 12 */
        int      kvm_errno;
        int      kvm_api_version;
        bool     kvm_irqchip, kvm_pit2, kvm_user_memory, kvm_immediate_exit, kvm_xcrs, kvm_debugregs, kvm_sregs2, kvm_vcpu_events;
        bool     kvm_adjust_clock, kvm_get_tsc_khz, kvm_tsc_control, kvm_nested_state, kvm_dirty_ring, kvm_pre_fault,
                 kvm_async_pf;
        bool     kvm_hlt_in_guest; /* KVM_CAP_X86_DISABLE_EXITS: HLT; a recording can tell reads from writes */
        uint32_t kvm_xsave_bytes; /* KVM_GET_XSAVE2's size, 4096 where only KVM_GET_XSAVE is */
        uint32_t kvm_max_vcpus, kvm_max_memslots;
        bool     nested_or_software; /* the CPU shows neither VMX nor SVM: KVM runs by other means */
        /* userfaultfd; uffd_errno says why uffd_way is NONE */
        enum uffd_way uffd_way;
        int           uffd_errno;
        uint64_t      uffd_features; /* UFFD_FEATURE_* */
        bool          uffd_poison;   /* Linux 6.6; else a lost page stops the VM before its fault is answered */
        bool          uffd_move;     /* 6.8 */
        bool          uffd_minor_shmem;     /* 5.14: restores share memory */
        bool          uffd_minor_hugetlbfs; /* 5.13: and 2 MiB pages */
        /* the rest */
        bool     io_uring;
        int      io_uring_errno;
        uint32_t nr_cpus;
        uint64_t max_map_count;  /* vm.max_map_count */
        bool     madv_collapse;  /* Linux 6.1, with transparent huge pages */
        uint64_t ram_bytes;      /* of the host */
        uint64_t huge_2m_free;   /* pages in the 2 MiB pool */
        char     thp[16];        /* "always", "madvise", "never" */
        char     kernel[64];     /* uname -r */
        char     cpu[64];        /* model name */
        char     microcode[24];
        int      cgroup_version; /* 1, 2 or 0 */
};
