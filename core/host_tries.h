/* core/host_tries.h: what only trying tells: system calls that a kernel may not have, or a seccomp filter or a sysctl may forbid.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  no. */
#pragma once

/* 0 where it works, else the errno that it gave. */
struct host_tries {
        int uffd_device;      /* opening /dev/userfaultfd */
        int cachestat;        /* Linux 6.5 */
        int pagemap_scan;     /* Linux 6.7 */
        int populate;         /* MADV_POPULATE_WRITE, Linux 5.14 */
        int collapse;         /* MADV_COLLAPSE, Linux 6.1 */
        int bpf_load;         /* a tracepoint program that does nothing */
        int kvm_event;        /* KVM's event that rouse trace hangs on is in the kernel's BTF, Linux 5.16 */
};

/* Tries each once; leaves nothing behind. Some ms: a BPF program is loaded. */
void host_try(struct host_tries *ret);
