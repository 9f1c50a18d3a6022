/* kvm/device/blk_io.h: reads and writes of one file, many under way at once: io_uring, or plainly one after another where a host
 * has none.
 * Owns:    the ring; the descriptor and what an operation points to are borrowed, the latter until it was reaped.
 * Threads: one: the one that made it.
 * Blocks:  wait; with the plain engine also start. Submitting may wait for the pager, when guest memory of an operation is
 *          absent. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum blk_io_kind {
        BLK_IO_READ,
        BLK_IO_WRITE,
        BLK_IO_SYNC, /* fdatasync(2): all writes that ended before it started are on the medium */
        BLK_IO_FALLOCATE,
        BLK_IO_DISCARD, /* BLKDISCARD of a block device; by blk_io_run only */
};

struct blk_io_op {
        enum blk_io_kind    kind;
        int                 flags; /* WRITE: RWF_*; FALLOCATE: its mode */
        uint32_t            nr_iov;
        const struct iovec *iov;
        uint64_t            offset_bytes;
        uint64_t            len_bytes; /* the sum of iov; what FALLOCATE and DISCARD are about */
        int64_t             result;    /* once reaped: bytes, maybe fewer than asked, or -errno */
};

struct blk_io;
struct blk_io_ops {
        const char *name;
        int (*new)(int fd, uint32_t depth, struct blk_io **ret); /* depth: started and not reaped, at most */
        void (*free)(struct blk_io *io);                         /* nothing in flight */
        void (*start)(struct blk_io *io, struct blk_io_op *op);
        void (*submit)(struct blk_io *io); /* what was started goes to the kernel, all at once */
        struct blk_io_op *(*reap)(struct blk_io *io); /* one that ended, or NULL */
        void (*wait)(struct blk_io *io);              /* until one can be reaped; something is in flight */
        /* readable when something can be reaped; -1: it is as soon as it was started */
        int (*fd)(const struct blk_io *io);
        void (*heard)(struct blk_io *io);             /* fd was readable: no longer; then reap until NULL */
};

/* The head of each engine's own struct. */
struct blk_io {
        const struct blk_io_ops *ops;
};

extern const struct blk_io_ops blk_uring_ops, blk_plain_ops;

/* io_uring if it is to be had, else *ret_refused says why not (-errno; else 0) and it is the plain engine. */
int blk_io_new(int fd, uint32_t depth, struct blk_io **ret, int *ret_refused);

/* Does it, on the calling thread: its result. */
int64_t blk_io_run(int fd, const struct blk_io_op *op);
