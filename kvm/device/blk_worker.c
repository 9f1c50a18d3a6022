/* kvm/device/blk_worker.c: a disk at work: pops many requests, submits them at once, answers many, interrupts once. */
#include "kvm/device/blk_internal.h"

#include "kvm/virtio/ram_copy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define QUEUE            0
#define STATUSES_AT_ONCE 64 /* ram_copy.h's most */

static struct blk *of(struct virtio_device *d)
{
        return (struct blk *)d;
}

/* --- begin and end --- */

static size_t pieces_bytes(const struct blk *b)
{
        return (size_t)b->depth * VIRTIO_QUEUE_SIZE_MAX * sizeof(struct iovec);
}

/* Touched as far as it is used: a request of few pieces costs a page. */
static void *reserve(size_t len_bytes)
{
        void *p = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        return p == MAP_FAILED ? NULL : p;
}

static int make_requests(struct blk *b)
{
        struct virtqueue_state *q = virtq_state(b->dev.queues[QUEUE]);

        b->depth = virtq_started(b->dev.queues[QUEUE]) ? q->size : q->max_size;
        b->requests = calloc(b->depth, sizeof(*b->requests));
        b->answered = calloc(b->depth, sizeof(struct blk_request *));
        b->pieces = reserve(pieces_bytes(b));
        if (b->file.direct)
                b->bounces = reserve((size_t)BLK_BOUNCES * BLK_BOUNCE_BYTES);
        if (!b->requests || !b->answered || !b->pieces || (b->file.direct && !b->bounces))
                return -ENOMEM;
        b->bounces_free = (1U << BLK_BOUNCES) - 1;
        for (uint32_t i = b->depth; i-- > 0;) {
                b->requests[i].pieces = b->pieces + (size_t)i * VIRTIO_QUEUE_SIZE_MAX;
                b->requests[i].next = b->free;
                b->free = &b->requests[i];
        }
        return 0;
}

static int make_engine(struct blk *b)
{
        int refused, r;

        if (b->file.fd < 0)
                return 0;
        r = blk_io_new(b->file.fd, b->depth, &b->io, &refused);
        if (r < 0)
                return r;
        if (refused < 0)
                virtio_say(&b->dev, "this host refuses io_uring (%s): its requests are done one after another, which is slower; "
                           "sysctl -w kernel.io_uring_disabled=0, or let the container's seccomp profile pass io_uring_setup",
                           strerror(-refused));
        return b->io->ops->fd(b->io) < 0 ? 0 : virtio_watch(&b->dev, b->io->ops->fd(b->io), EPOLLIN);
}

static int make_again(struct blk *b)
{
        b->again_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return b->again_fd < 0 ? -errno : virtio_watch(&b->dev, b->again_fd, EPOLLIN);
}

int blk_begin(struct virtio_device *d, struct err *e)
{
        struct blk *b = of(d);
        int         r;

        b->again_fd = -1;
        b->shape.writethrough = !(d->features & BLK_F_FLUSH);
        b->shape.discard = d->features & BLK_F_DISCARD;
        b->shape.write_zeroes = d->features & BLK_F_WRITE_ZEROES;
        if ((r = make_requests(b)) == 0 && (r = make_again(b)) == 0 && (r = make_engine(b)) == 0)
                return 0;
        blk_end(d);
        return err_set(e, r, "%s: cannot be started: %s", d->what, strerror(-r));
}

void blk_end(struct virtio_device *d)
{
        struct blk *b = of(d);

        if (b->io) {
                if (b->io->ops->fd(b->io) >= 0)
                        virtio_unwatch(d, b->io->ops->fd(b->io));
                b->io->ops->free(b->io);
        }
        if (b->again_fd >= 0) {
                virtio_unwatch(d, b->again_fd);
                close(b->again_fd);
        }
        if (b->pieces)
                munmap(b->pieces, pieces_bytes(b));
        if (b->bounces)
                munmap(b->bounces, (size_t)BLK_BOUNCES * BLK_BOUNCE_BYTES);
        free(b->requests);
        free(b->answered);
        b->io = NULL;
        b->again_fd = -1;
        b->pieces = NULL;
        b->bounces = NULL;
        b->requests = b->free = b->alone = NULL;
        b->answered = NULL;
        b->stalled = b->told = false;
}

/* --- one request --- */

static bool take_bounce(struct blk *b, struct blk_request *r)
{
        int i = __builtin_ffs((int)b->bounces_free) - 1;

        if (i < 0)
                return false;
        b->bounces_free &= ~(1U << i);
        r->bounce = b->bounces + (size_t)i * BLK_BOUNCE_BYTES;
        return true;
}

static void give_bounce_back(struct blk *b, struct blk_request *r)
{
        if (r->bounce)
                b->bounces_free |= 1U << ((size_t)(r->bounce - b->bounces) / BLK_BOUNCE_BYTES);
        r->bounce = NULL;
}

static void give_back(struct blk *b, struct blk_request *r)
{
        r->next = b->free;
        b->free = r;
}

/* The status is known; notify hands it to the driver. */
static void answer(struct blk *b, struct blk_request *r)
{
        give_bounce_back(b, r);
        b->answered[b->nr_answered++] = r;
}

/* Once: a guest that tries again and again must not fill the user's log. */
static void tell(struct blk *b, const struct blk_request *r, int error)
{
        static const char *const verbs[] = { "read", "write", "fdatasync", "fallocate", "discard" };

        if (b->told)
                return;
        b->told = true;
        virtio_say(&b->dev, "%s: %s of %llu bytes at offset %llu: %s; the guest sees an I/O error (said once)", b->file.path,
                   verbs[r->op.kind], (unsigned long long)r->op.len_bytes, (unsigned long long)r->op.offset_bytes,
                   error == -ENODATA ? "the file ends before that, it was longer when it was opened" : strerror(-error));
}

/* The request's next operation, or its answer. */
static void step(struct blk *b, struct blk_request *r)
{
        if (!blk_request_next(r, &b->shape)) {
                b->nr_busy--;
                answer(b, r);
        } else if (blk_request_runs_alone(r, &b->shape)) {
                r->next = b->alone;
                b->alone = r;
        } else {
                b->nr_in_flight++;
                b->io->ops->start(b->io, &r->op);
        }
}

static void done(struct blk *b, struct blk_request *r)
{
        int e = blk_request_done(r, &b->shape);

        if (e < 0)
                tell(b, r, e);
        step(b, r);
}

static bool changes_disk(const struct blk_request *r)
{
        return r->type == BLK_T_OUT || r->type == BLK_T_DISCARD || r->type == BLK_T_WRITE_ZEROES;
}

/* The header was read before: if the VM is condemned by now, what was read may be zeros that are none. */
static bool may_leave(struct blk *b, const struct blk_request *r, const struct virtq_chain *c)
{
        return !changes_disk(r) || virtio_fetch(&b->dev, c->iov, c->nr_out) == 0;
}

static void put(struct blk *b, struct blk_request *r, const struct virtq_chain *c, enum blk_verdict v)
{
        if (v == BLK_RUN && !may_leave(b, r, c)) {
                r->status = BLK_S_IOERR;
                v = BLK_ANSWERED;
        }
        if (v == BLK_ANSWERED) {
                answer(b, r);
                return;
        }
        b->nr_busy++;
        step(b, r);
}

/* --- many --- */

enum stop {
        STOP_EMPTY, /* the driver kicks when there is more */
        STOP_FULL,  /* something in flight must end first */
        STOP_SPENT, /* enough for one wake-up: park and reset want to be heard, too */
};

static enum stop pop(struct blk *b, uint32_t *budget)
{
        struct virtqueue *q = b->dev.queues[QUEUE];

        for (; *budget > 0; --*budget) {
                struct blk_request *r = b->free;
                struct virtq_chain  c;
                enum blk_verdict    v;

                if (!r || b->alone)
                        return STOP_FULL;
                if (virtio_pop(&b->dev, QUEUE, &c) <= 0)
                        return STOP_EMPTY;
                b->free = r->next;
                v = blk_request_take(r, &c, &b->shape);
                if (v == BLK_BROKEN || (v == BLK_RUN && r->needs_bounce && !take_bounce(b, r))) {
                        virtq_unpop(q);
                        give_back(b, r);
                        if (v == BLK_RUN)
                                return STOP_FULL;
                        virtio_broken(&b->dev, "a request of %llu bytes to read and %llu to write has no header or no status",
                                      (unsigned long long)c.out_bytes, (unsigned long long)c.in_bytes);
                        return STOP_EMPTY;
                }
                put(b, r, &c, v);
        }
        return STOP_SPENT;
}

static void run_alone(struct blk *b)
{
        struct blk_request *r = b->alone;
        int                 e = blk_file_cached(&b->file, true);

        b->alone = r->next;
        r->op.result = e < 0 ? e : blk_io_run(b->file.fd, &r->op);
        (void)blk_file_cached(&b->file, false); /* it was direct before: it can be */
        done(b, r);
}

/* Submits what was started and takes what ended, until nothing more ends at once: how many operations did. */
static uint32_t settle(struct blk *b)
{
        uint32_t n = 0, before;

        if (!b->io)
                return 0;
        do {
                struct blk_io_op *op;

                before = n;
                b->io->ops->submit(b->io);
                for (; (op = b->io->ops->reap(b->io)); n++) {
                        b->nr_in_flight--;
                        done(b, (struct blk_request *)op);
                }
                if (b->alone && b->nr_in_flight == 0) {
                        run_alone(b);
                        n++;
                }
        } while (n != before);
        return n;
}

/* Writes the statuses of some requests in one copy. Where a page of one is lost the VM is condemned, and nobody misses the
 * answers. */
static void write_statuses(const struct blk *b, struct blk_request *const *r, size_t nr)
{
        struct iovec to[STATUSES_AT_ONCE];
        uint8_t      statuses[STATUSES_AT_ONCE];

        for (size_t i = 0; i < nr; i++) {
                to[i] = (struct iovec){ .iov_base = r[i]->status_hva, .iov_len = 1 };
                statuses[i] = r[i]->status;
        }
        (void)ram_scatter(virtio_is_settled(&b->dev), to, nr, statuses);
}

/* What was answered goes to the driver: how many. */
static uint32_t notify(struct blk *b)
{
        uint32_t nr = b->nr_answered;

        if (nr == 0)
                return 0;
        for (uint32_t i = 0; i < nr; i += STATUSES_AT_ONCE)
                write_statuses(b, b->answered + i, MIN(nr - i, STATUSES_AT_ONCE));
        for (uint32_t i = 0; i < nr; i++) {
                struct blk_request *r = b->answered[i];

                virtq_push(b->dev.queues[QUEUE], r->head, r->status == BLK_S_OK ? r->read_bytes + 1 : 1);
                give_back(b, r);
        }
        b->nr_answered = 0;
        virtio_notify(&b->dev, QUEUE);
        return nr;
}

static void serve(struct blk *b)
{
        uint32_t  budget = b->depth, ended;
        enum stop why;

        do {
                why = pop(b, &budget);
                ended = settle(b);
                ended += notify(b);
        } while (why == STOP_FULL && ended > 0 && budget > 0);
        b->stalled = why == STOP_FULL && ended == 0;
        if (why == STOP_SPENT || (why == STOP_FULL && ended > 0))
                (void)eventfd_write(b->again_fd, 1);
}

void blk_kicked(struct virtio_device *d, uint16_t queue)
{
        (void)queue;
        serve(of(d));
}

void blk_ready(struct virtio_device *d, int fd, uint32_t events)
{
        struct blk *b = of(d);
        eventfd_t   count;

        (void)events;
        if (fd == b->again_fd)
                (void)eventfd_read(fd, &count);
        else
                b->io->ops->heard(b->io);
        settle(b);
        notify(b);
        if (fd == b->again_fd || b->stalled)
                serve(b);
}

void blk_drain(struct virtio_device *d)
{
        struct blk *b = of(d);

        settle(b);
        while (b->nr_busy > 0) {
                b->io->ops->wait(b->io); /* what is busy and does not wait to run alone is in flight */
                settle(b);
        }
        notify(b);
        b->stalled = false;
}
