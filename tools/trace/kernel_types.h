/* tools/trace/kernel_types.h: the fields of the kernel's structures that the BPF program reads, and no others. Where they lie is
 * found out when it is loaded (CO-RE), by names, from the BTF of the kernel that runs: the kernel that builds has no say.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

typedef _Bool              bool;
typedef unsigned char      __u8;
typedef signed short       __s16;
typedef unsigned short     __u16;
typedef signed int         __s32;
typedef unsigned int       __u32;
typedef signed long long   __s64;
typedef unsigned long long __u64;
typedef __u16              __be16;
typedef __u32              __be32;
typedef __u32              __wsum;
typedef __u64              gfn_t;

#define true  1
#define false 0

/* <linux/bpf.h>: interface, the numbers do not change */
enum {
        BPF_MAP_TYPE_HASH    = 1,
        BPF_MAP_TYPE_ARRAY   = 2,
        BPF_MAP_TYPE_RINGBUF = 27,
        BPF_F_NO_PREALLOC    = 1,
        BPF_ANY              = 0,
        BPF_NOEXIST          = 1,
        BPF_RB_NO_WAKEUP     = 1,
        BPF_RB_FORCE_WAKEUP  = 2,
        BPF_RB_AVAIL_DATA    = 0,
};

struct bpf_pidns_info {
        __u32 pid, tgid;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
        int counter;
} atomic_t;

struct hlist_node {
        struct hlist_node *next;
};

struct hlist_head {
        struct hlist_node *first;
};

struct mm_struct;

struct signal_struct {
        atomic_t live; /* threads that have not exited */
};

struct task_struct {
        int                   tgid;
        struct mm_struct     *mm;
        struct signal_struct *signal;
        struct hlist_head     preempt_notifiers; /* a vCPU that this thread has loaded */
};

struct preempt_notifier {
        struct hlist_node link;
};

struct kvm {
        struct mm_struct *mm;
};

struct kvm_vcpu {
        struct kvm             *kvm;
        struct preempt_notifier preempt_notifier;
};

struct kvm_memory_slot {
        gfn_t         base_gfn;
        unsigned long npages;
        unsigned long userspace_addr;
};

/* From Linux 5.16 on the event has it. */
struct kvm_page_fault {
        bool                    write;
        __u8                    goal_level;
        gfn_t                   gfn;
        struct kvm_memory_slot *slot;
};

/* The rest of the word is left out: a bit is found by its name, too. */
union kvm_mmu_page_role {
        struct {
                unsigned int level : 4;
                unsigned int direct : 1; /* no page table of the guest's stands behind it */
        };
};

struct kvm_mmu_page {
        union kvm_mmu_page_role role;
        gfn_t                   gfn;
        __u64                  *spt; /* its entries */
};

#pragma clang attribute pop
