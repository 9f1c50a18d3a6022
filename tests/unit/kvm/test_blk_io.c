/* Both engines, on a real file: what goes down comes back, at depth. */
#include "kvm/device/blk_io.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH 64

struct rig {
        struct tmpdir  dir;
        int            fd;
        struct blk_io *io;
        struct blk_io_op ops[DEPTH];
        struct iovec     iov[DEPTH][2];
        uint8_t          bytes[DEPTH][1024];
};

static void setup(struct rig *g, const struct blk_io_ops *ops)
{
        if (ops == &blk_uring_ops)
                need_io_uring();
        memset(g, 0, sizeof(*g));
        g->dir = tmpdir_new();
        g->fd = openat(g->dir.fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        cr_assert_geq(g->fd, 0);
        cr_assert_eq(ops->new(g->fd, DEPTH, &g->io), 0);
}

static void teardown(struct rig *g)
{
        g->io->ops->free(g->io);
        close(g->fd);
        tmpdir_free(&g->dir);
}

/* Two pieces of 512 bytes. */
static struct blk_io_op *start(struct rig *g, int i, enum blk_io_kind kind)
{
        g->iov[i][0] = (struct iovec){ g->bytes[i], 512 };
        g->iov[i][1] = (struct iovec){ g->bytes[i] + 512, 512 };
        g->ops[i] = (struct blk_io_op){ .kind = kind, .iov = g->iov[i], .nr_iov = 2, .len_bytes = 1024,
                                        .offset_bytes = (uint64_t)i * 1024 };
        g->io->ops->start(g->io, &g->ops[i]);
        return &g->ops[i];
}

/* Waits for nr of them; their results must be `result`. */
static void finish(struct rig *g, int nr, int64_t result)
{
        g->io->ops->submit(g->io);
        while (nr > 0) {
                struct blk_io_op *op;

                g->io->ops->wait(g->io);
                for (; (op = g->io->ops->reap(g->io)); nr--)
                        cr_assert_eq(op->result, result, "%lld", (long long)op->result);
        }
        cr_assert_null(g->io->ops->reap(g->io));
}

static void what_is_written_at_depth_is_read_at_depth(const struct blk_io_ops *ops)
{
        struct rig g;

        setup(&g, ops);
        for (int i = 0; i < DEPTH; i++) {
                memset(g.bytes[i], i + 1, sizeof(g.bytes[i]));
                start(&g, i, BLK_IO_WRITE);
        }
        finish(&g, DEPTH, 1024);
        memset(g.bytes, 0, sizeof(g.bytes));
        for (int i = 0; i < DEPTH; i++)
                start(&g, i, BLK_IO_READ);
        finish(&g, DEPTH, 1024);
        for (int i = 0; i < DEPTH; i++)
                cr_assert(g.bytes[i][0] == i + 1 && g.bytes[i][1023] == i + 1);
        teardown(&g);
}

static void the_rest_of_the_operations_work(const struct blk_io_ops *ops)
{
        struct rig  g;
        struct stat st;

        setup(&g, ops);
        memset(g.bytes[0], 7, sizeof(g.bytes[0]));
        g.ops[1] = (struct blk_io_op){ .kind = BLK_IO_WRITE, .flags = RWF_DSYNC, .iov = g.iov[1], .nr_iov = 1,
                                       .offset_bytes = 0 };
        g.iov[1][0] = (struct iovec){ g.bytes[0], 1000 };
        g.ops[1].len_bytes = 1000;
        g.io->ops->start(g.io, &g.ops[1]);
        finish(&g, 1, 1000);
        g.ops[2] = (struct blk_io_op){ .kind = BLK_IO_SYNC };
        g.io->ops->start(g.io, &g.ops[2]);
        finish(&g, 1, 0);
        g.ops[3] = (struct blk_io_op){ .kind = BLK_IO_FALLOCATE, .flags = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
                                       .len_bytes = 500 };
        g.io->ops->start(g.io, &g.ops[3]);
        finish(&g, 1, 0);
        start(&g, 0, BLK_IO_READ);
        finish(&g, 1, 1000); /* short: the file ends there */
        cr_assert(g.bytes[0][499] == 0 && g.bytes[0][500] == 7 && g.bytes[0][999] == 7);
        cr_assert(fstat(g.fd, &st) == 0 && st.st_size == 1000);
        teardown(&g);
}

static void an_error_is_the_operations_own(const struct blk_io_ops *ops)
{
        struct rig g;

        setup(&g, ops);
        g.iov[0][0] = (struct iovec){ (void *)8, 512 };
        g.ops[0] = (struct blk_io_op){ .kind = BLK_IO_WRITE, .iov = g.iov[0], .nr_iov = 1, .len_bytes = 512 };
        g.io->ops->start(g.io, &g.ops[0]);
        finish(&g, 1, -EFAULT);
        start(&g, 1, BLK_IO_WRITE);
        finish(&g, 1, 1024);
        teardown(&g);
}

Test(blk_io, what_is_written_at_depth_is_read_at_depth_by_io_uring)
{
        what_is_written_at_depth_is_read_at_depth(&blk_uring_ops);
}

Test(blk_io, what_is_written_at_depth_is_read_at_depth_plainly)
{
        what_is_written_at_depth_is_read_at_depth(&blk_plain_ops);
}

Test(blk_io, sync_and_holes_and_short_reads_work_by_io_uring)
{
        the_rest_of_the_operations_work(&blk_uring_ops);
}

Test(blk_io, sync_and_holes_and_short_reads_work_plainly)
{
        the_rest_of_the_operations_work(&blk_plain_ops);
}

Test(blk_io, an_error_is_the_operations_own_by_io_uring)
{
        an_error_is_the_operations_own(&blk_uring_ops);
}

Test(blk_io, an_error_is_the_operations_own_plainly)
{
        an_error_is_the_operations_own(&blk_plain_ops);
}

Test(blk_io, an_epoll_wakes_when_something_ended)
{
        struct rig          g;
        struct epoll_event  e = { .events = EPOLLIN };
        _cleanup_close_ int epoll = epoll_create1(EPOLL_CLOEXEC);

        setup(&g, &blk_uring_ops);
        cr_assert_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, g.io->ops->fd(g.io), &e), 0);
        for (int i = 0; i < 100; i++) {
                int n;

                cr_assert_eq(epoll_wait(epoll, &e, 1, 0), 0);
                g.ops[0] = (struct blk_io_op){ .kind = BLK_IO_SYNC };
                g.io->ops->start(g.io, &g.ops[0]);
                g.io->ops->submit(g.io);
                if (g.io->ops->reap(g.io))
                        continue; /* at once: then nothing is told */
                /* the kernel may start a worker from this thread, which looks like a signal */
                while ((n = epoll_wait(epoll, &e, 1, 10000)) < 0 && errno == EINTR)
                        ;
                cr_assert_eq(n, 1);
                g.io->ops->heard(g.io);
                cr_assert_eq(g.io->ops->reap(g.io), &g.ops[0]);
                cr_assert_null(g.io->ops->reap(g.io));
        }
        teardown(&g);
}
