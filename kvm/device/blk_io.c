/* kvm/device/blk_io.c: the plain engine: an operation is done when it was started. */
#include "kvm/device/blk_io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct plain {
        struct blk_io     head;
        int               fd;
        uint32_t          depth, first, nr_done;
        struct blk_io_op *done[]; /* [depth], a ring */
};

static int64_t run_once(int fd, const struct blk_io_op *op)
{
        off_t at = (off_t)op->offset_bytes;

        switch (op->kind) {
        case BLK_IO_READ:
                return preadv2(fd, op->iov, (int)op->nr_iov, at, 0);
        case BLK_IO_WRITE:
                return pwritev2(fd, op->iov, (int)op->nr_iov, at, op->flags);
        case BLK_IO_SYNC:
                return fdatasync(fd);
        case BLK_IO_FALLOCATE:
                return fallocate(fd, op->flags, at, (off_t)op->len_bytes);
        case BLK_IO_DISCARD:
                return ioctl(fd, BLKDISCARD, (uint64_t[2]){ op->offset_bytes, op->len_bytes });
        }
        errno = EINVAL;
        return -1;
}

int64_t blk_io_run(int fd, const struct blk_io_op *op)
{
        int64_t n;

        do
                n = run_once(fd, op);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

static int plain_new(int fd, uint32_t depth, struct blk_io **ret)
{
        struct plain *p = calloc(1, sizeof(*p) + depth * sizeof(struct blk_io_op *));

        if (!p)
                return -ENOMEM;
        p->head.ops = &blk_plain_ops;
        p->fd = fd;
        p->depth = depth;
        *ret = &p->head;
        return 0;
}

static void plain_free(struct blk_io *io)
{
        free(io);
}

static void plain_start(struct blk_io *io, struct blk_io_op *op)
{
        struct plain *p = (struct plain *)io;

        assert(p->nr_done < p->depth);
        op->result = blk_io_run(p->fd, op);
        p->done[(p->first + p->nr_done++) % p->depth] = op;
}

static void plain_submit(struct blk_io *io)
{
        (void)io;
}

static struct blk_io_op *plain_reap(struct blk_io *io)
{
        struct plain     *p = (struct plain *)io;
        struct blk_io_op *op;

        if (p->nr_done == 0)
                return NULL;
        op = p->done[p->first];
        p->first = (p->first + 1) % p->depth;
        p->nr_done--;
        return op;
}

static void plain_wait(struct blk_io *io)
{
        (void)io;
}

static int plain_fd(const struct blk_io *io)
{
        (void)io;
        return -1;
}

static void plain_heard(struct blk_io *io)
{
        (void)io;
}

const struct blk_io_ops blk_plain_ops = {
        .name = "plain",
        .new = plain_new,
        .free = plain_free,
        .start = plain_start,
        .submit = plain_submit,
        .reap = plain_reap,
        .wait = plain_wait,
        .fd = plain_fd,
        .heard = plain_heard,
};

int blk_io_new(int fd, uint32_t depth, struct blk_io **ret, int *ret_refused)
{
        int refused = blk_uring_ops.new(fd, depth, ret);
        int r = refused < 0 ? blk_plain_ops.new(fd, depth, ret) : 0;

        if (r == 0)
                *ret_refused = refused;
        return r;
}
