/* kvm/device/blk_uring.c: the engine on io_uring: what was started goes down in one system call, and what ended costs none to
 * see.
 *
 * An eventfd tells of completions, as the ring's own descriptor does not wake an epoll when they are deferred to this thread. It
 * is silent while this thread looks at the ring anyway: from submit, or from when it was heard, until reap has found nothing
 * more.
 *
 * The file is not registered: the kernel takes rings down some time after their process, and with it the file's locks would
 * stay. */
#include "kvm/device/blk_io.h"

#include "core/base/units.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct uring {
        struct blk_io   head;
        int             fd, event_fd;
        struct io_uring ring;
};

/* The ring is one thread's, and completions run when that thread asks for them, so that they interrupt nobody (both Linux
 * 6.1). */
#define RING_FLAGS (IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP)
#define RING_FLAGS_6_1 (RING_FLAGS | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

static int set_up(struct uring *u, uint32_t depth)
{
        int r;

        u->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (u->event_fd < 0)
                return -errno;
        r = io_uring_queue_init(depth, &u->ring, RING_FLAGS_6_1);
        if (r == -EINVAL)
                r = io_uring_queue_init(depth, &u->ring, RING_FLAGS);
        if (r < 0)
                return r;
        r = io_uring_register_eventfd(&u->ring, u->event_fd);
        if (r < 0)
                io_uring_queue_exit(&u->ring);
        return r;
}

static int uring_new(int fd, uint32_t depth, struct blk_io **ret)
{
        struct uring *u = calloc(1, sizeof(*u));
        int           r;

        if (!u)
                return -ENOMEM;
        r = set_up(u, depth);
        if (r < 0) {
                if (u->event_fd >= 0)
                        close(u->event_fd);
                free(u);
                return r;
        }
        u->head.ops = &blk_uring_ops;
        u->fd = fd;
        *ret = &u->head;
        return 0;
}

static void uring_free(struct blk_io *io)
{
        struct uring *u = (struct uring *)io;

        io_uring_queue_exit(&u->ring);
        close(u->event_fd);
        free(u);
}

/* One piece spares the kernel a copy of the vector. */
static void prepare(struct io_uring_sqe *sqe, int fd, const struct blk_io_op *op)
{
        switch (op->kind) {
        case BLK_IO_READ:
                if (op->nr_iov == 1)
                        io_uring_prep_read(sqe, fd, op->iov->iov_base, (unsigned int)op->iov->iov_len, op->offset_bytes);
                else
                        io_uring_prep_readv(sqe, fd, op->iov, op->nr_iov, op->offset_bytes);
                break;
        case BLK_IO_WRITE:
                if (op->nr_iov == 1)
                        io_uring_prep_write(sqe, fd, op->iov->iov_base, (unsigned int)op->iov->iov_len, op->offset_bytes);
                else
                        io_uring_prep_writev(sqe, fd, op->iov, op->nr_iov, op->offset_bytes);
                sqe->rw_flags = op->flags;
                break;
        case BLK_IO_SYNC:
                io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
                break;
        case BLK_IO_FALLOCATE:
                io_uring_prep_fallocate(sqe, fd, op->flags, (off_t)op->offset_bytes, (off_t)op->len_bytes);
                break;
        case BLK_IO_DISCARD:
                assert(!"a DISCARD is for blk_io_run");
                break;
        }
}

static void uring_start(struct blk_io *io, struct blk_io_op *op)
{
        struct uring        *u = (struct uring *)io;
        struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

        assert(sqe); /* the ring has as many entries as may be started */
        prepare(sqe, u->fd, op);
        io_uring_sqe_set_data(sqe, op);
}

static void uring_submit(struct blk_io *io)
{
        const struct timespec a_moment = { .tv_nsec = NS_PER_MS };
        struct uring         *u = (struct uring *)io;

        io_uring_cq_eventfd_toggle(&u->ring, false);
        while (io_uring_sq_ready(&u->ring) > 0) {
                int r = io_uring_submit(&u->ring);

                /* -EAGAIN, -EBUSY: the kernel has no memory for it just now */
                if (r < 0 && r != -EINTR)
                        nanosleep(&a_moment, NULL);
        }
}

static struct blk_io_op *uring_reap(struct blk_io *io)
{
        struct uring        *u = (struct uring *)io;
        struct io_uring_cqe *cqe;
        struct blk_io_op    *op;

        if (io_uring_peek_cqe(&u->ring, &cqe) != 0) {
                io_uring_cq_eventfd_toggle(&u->ring, true);
                /* pairs with the kernel, which completes and then looks whether to signal: one of us sees the other */
                atomic_thread_fence(memory_order_seq_cst);
                if (io_uring_peek_cqe(&u->ring, &cqe) != 0)
                        return NULL;
        }
        op = io_uring_cqe_get_data(cqe);
        op->result = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe);
        return op;
}

static void uring_wait(struct blk_io *io)
{
        struct uring        *u = (struct uring *)io;
        struct io_uring_cqe *cqe;

        while (io_uring_wait_cqe(&u->ring, &cqe) == -EINTR)
                ;
}

static int uring_fd(const struct blk_io *io)
{
        return ((const struct uring *)io)->event_fd;
}

static void uring_heard(struct blk_io *io)
{
        struct uring *u = (struct uring *)io;
        eventfd_t     count;

        io_uring_cq_eventfd_toggle(&u->ring, false);
        (void)eventfd_read(u->event_fd, &count);
}

const struct blk_io_ops blk_uring_ops = {
        .name = "io_uring",
        .new = uring_new,
        .free = uring_free,
        .start = uring_start,
        .submit = uring_submit,
        .reap = uring_reap,
        .wait = uring_wait,
        .fd = uring_fd,
        .heard = uring_heard,
};
