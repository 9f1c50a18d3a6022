/* kvm/sys.h: /dev/kvm and its ioctls, -errno at the edge; no policy. Also what Debian 12's <linux/kvm.h> (Linux 6.1) lacks.
 * Owns:    nothing.
 * Threads: any; a vCPU descriptor one thread at a time (the kernel serialises the rest).
 * Blocks:  kvm_run as long as the guest runs; the others briefly. */
#pragma once

#include <linux/kvm.h>
#include <stdint.h>

#ifndef KVM_CAP_PRE_FAULT_MEMORY /* Linux 6.11 */
#define KVM_CAP_PRE_FAULT_MEMORY 236
#endif

#ifndef KVM_EXIT_MEMORY_FAULT /* Linux 6.8; comes with -EFAULT or -EHWPOISON */
#define KVM_EXIT_MEMORY_FAULT 39
#endif

/* What struct kvm_run holds from `hw` on at a KVM_EXIT_MEMORY_FAULT. */
struct kvm_memory_fault_exit {
        uint64_t flags;
        uint64_t gpa;
        uint64_t size_bytes;
};

/* The descriptor of /dev/kvm, or -errno. */
int kvm_open(void);

/* The ioctl's result (0 or more), or -errno. EINTR is retried: KVM_CREATE_VM and KVM_CREATE_PIT2 return it when a signal
 * comes. */
int kvm_ioctl(int fd, unsigned long request, void *arg);
int kvm_ioctl_in(int fd, unsigned long request, const void *arg); /* for those that only read *arg */
int kvm_ioctl_value(int fd, unsigned long request, unsigned long value);

/* KVM_RUN, once: 0, or -errno (-EINTR: a signal or immediate_exit). */
int kvm_run(int vcpu_fd);

/* A capability's value, 0 where KVM does not know it. */
int kvm_check(int fd, int cap);
