/* core/base/uapi.h: kernel definitions that Debian 12's headers (Linux 6.1) do not have yet, under their kernel names.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include <linux/ioctl.h>
#include <linux/mman.h>
#include <linux/types.h>
#include <linux/userfaultfd.h>

#ifndef USERFAULTFD_IOC_NEW /* /dev/userfaultfd, Linux 6.1 */
#define USERFAULTFD_IOC     0xAA
#define USERFAULTFD_IOC_NEW _IO(USERFAULTFD_IOC, 0x00)
#endif

#ifndef UFFD_FEATURE_POISON /* Linux 6.6 */
#define UFFD_FEATURE_POISON (1 << 14)
#define _UFFDIO_POISON      (0x08)
struct uffdio_poison {
        struct uffdio_range range;
        __u64               mode;
        __s64               updated;
};
#define UFFDIO_POISON              _IOWR(UFFDIO, _UFFDIO_POISON, struct uffdio_poison)
#define UFFDIO_POISON_MODE_DONTWAKE ((__u64)1 << 0)
#endif

#ifndef UFFD_FEATURE_MOVE /* Linux 6.8 */
#define UFFD_FEATURE_MOVE (1 << 16)
#define _UFFDIO_MOVE      (0x05)
struct uffdio_move {
        __u64 dst;
        __u64 src;
        __u64 len;
        __u64 mode;
        __s64 move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, _UFFDIO_MOVE, struct uffdio_move)
#endif

#ifndef MADV_COLLAPSE /* Linux 6.1; in the headers of Debian 12's C library it is missing */
#define MADV_COLLAPSE 25
#endif
