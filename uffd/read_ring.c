/* uffd/read_ring.c: io_uring with one buffer per slot. */
#include "uffd/read_ring.h"

#include "core/base/clock.h"
#include "core/base/units.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BUFFERS_BYTES (READ_SLOTS * READ_SLOT_PAGES * PAGE_BYTES)

/* Every slot may have a read and its cancellation under way, beside the advice. */
#define RING_ENTRIES 256
static_assert(2 * READ_SLOTS + ADVISE_MAX <= RING_ENTRIES, "a submission entry for everything that can be under way");

/* user_data: slots are numbers below READ_SLOTS */
#define TAG_ADVICE READ_SLOTS
#define TAG_CANCEL (READ_SLOTS + 1)

enum slot_state { SLOT_FREE, SLOT_TAKEN, SLOT_FLYING, SLOT_ABANDONED };

struct slot {
        enum slot_state state;
        uint64_t        deadline_ns;
};

struct read_ring {
        struct io_uring ring;
        uint8_t        *buffers;
        size_t          nr_flying, nr_abandoned, nr_advising;
        struct slot     slots[READ_SLOTS];
};

int read_ring_new(struct read_ring **ret)
{
        struct read_ring *r = calloc(1, sizeof(*r));
        int               e;

        if (!r)
                return -ENOMEM;
        r->buffers = mmap(NULL, BUFFERS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (r->buffers == MAP_FAILED) {
                free(r);
                return -ENOMEM;
        }
        e = io_uring_queue_init(RING_ENTRIES, &r->ring, 0);
        if (e < 0) {
                munmap(r->buffers, BUFFERS_BYTES);
                free(r);
                return e;
        }
        *ret = r;
        return 0;
}

static struct io_uring_sqe *next_sqe(struct read_ring *r)
{
        struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

        if (!sqe) {
                read_ring_submit(r);
                sqe = io_uring_get_sqe(&r->ring);
        }
        return sqe;
}

static void cancel(struct read_ring *r, int slot)
{
        struct io_uring_sqe *sqe = next_sqe(r);

        if (!sqe)
                return; /* it is only a courtesy: the slot comes free when the read ends */
        io_uring_prep_cancel64(sqe, (uint64_t)slot, 0);
        io_uring_sqe_set_data64(sqe, TAG_CANCEL);
}

bool read_ring_take_back(struct read_ring *r, uint64_t patience_ns)
{
        uint64_t now = now_ns(), end_ns = now + patience_ns;
        ssize_t  result;

        while (read_ring_expire(r, UINT64_MAX) >= 0)
                ;
        for (; r->nr_abandoned + r->nr_advising > 0 && now < end_ns; now = now_ns()) {
                struct __kernel_timespec t = { .tv_sec = (int64_t)((end_ns - now) / NS_PER_S), .tv_nsec = (int64_t)((end_ns - now) % NS_PER_S) };
                struct io_uring_cqe     *cqe;

                read_ring_submit(r); /* again, where the kernel did not take it at once */
                (void)io_uring_wait_cqe_timeout(&r->ring, &cqe, &t);
                while (read_ring_reap(r, &result) >= 0)
                        ;
        }
        return r->nr_abandoned + r->nr_advising == 0;
}

void read_ring_free(struct read_ring *r)
{
        if (!r)
                return;
        (void)read_ring_take_back(r, READ_RING_PATIENCE_NS);
        io_uring_queue_exit(&r->ring);
        /* A read that could not be taken back may still write to its buffer: then the address space is left to it. */
        if (r->nr_abandoned == 0)
                munmap(r->buffers, BUFFERS_BYTES);
        free(r);
}

int read_ring_take(struct read_ring *r)
{
        for (int i = 0; i < READ_SLOTS; i++) {
                if (r->slots[i].state == SLOT_FREE) {
                        r->slots[i].state = SLOT_TAKEN;
                        return i;
                }
        }
        return r->nr_abandoned == READ_SLOTS ? -ETIMEDOUT : -EBUSY;
}

uint8_t *read_ring_buf(struct read_ring *r, int slot)
{
        return r->buffers + (size_t)slot * READ_SLOT_PAGES * PAGE_BYTES;
}

void read_ring_start(struct read_ring *r, int slot, int fd, uint64_t offset_bytes, size_t buf_offset_bytes, size_t len_bytes,
                     uint64_t deadline_ns)
{
        struct io_uring_sqe *sqe = next_sqe(r);

        r->slots[slot] = (struct slot){ .state = SLOT_FLYING, .deadline_ns = deadline_ns };
        r->nr_flying++;
        if (!sqe)
                return; /* the kernel takes no submissions: the deadline tells */
        io_uring_prep_read(sqe, fd, read_ring_buf(r, slot) + buf_offset_bytes, (unsigned int)len_bytes, offset_bytes);
        io_uring_sqe_set_data64(sqe, (uint64_t)slot);
}

void read_ring_release(struct read_ring *r, int slot)
{
        r->slots[slot].state = SLOT_FREE;
}

bool read_ring_advise(struct read_ring *r, int fd, uint64_t offset_bytes, uint64_t len_bytes)
{
        struct io_uring_sqe *sqe = r->nr_advising < ADVISE_MAX ? next_sqe(r) : NULL;

        if (!sqe)
                return false;
        io_uring_prep_fadvise(sqe, fd, offset_bytes, (off_t)len_bytes, POSIX_FADV_WILLNEED);
        io_uring_sqe_set_data64(sqe, TAG_ADVICE);
        r->nr_advising++;
        return true;
}

void read_ring_submit(struct read_ring *r)
{
        /* What the kernel does not take now stays queued for the next time; a read that never starts is caught by its deadline. */
        if (io_uring_sq_ready(&r->ring) > 0)
                (void)io_uring_submit(&r->ring);
}

/* True when the completion was that of a read somebody still waits for. */
static bool complete(struct read_ring *r, uint64_t tag)
{
        struct slot *s = tag < READ_SLOTS ? &r->slots[tag] : NULL;

        if (tag == TAG_ADVICE)
                r->nr_advising--;
        if (!s)
                return false;
        if (s->state == SLOT_ABANDONED) {
                s->state = SLOT_FREE;
                r->nr_abandoned--;
                return false;
        }
        s->state = SLOT_TAKEN;
        r->nr_flying--;
        return true;
}

int read_ring_reap(struct read_ring *r, ssize_t *ret_result)
{
        struct io_uring_cqe *cqe;

        while (io_uring_peek_cqe(&r->ring, &cqe) == 0) {
                uint64_t tag = io_uring_cqe_get_data64(cqe);
                ssize_t  result = cqe->res;

                io_uring_cqe_seen(&r->ring, cqe);
                if (complete(r, tag)) {
                        *ret_result = result;
                        return (int)tag;
                }
        }
        return -1;
}

int read_ring_expire(struct read_ring *r, uint64_t now)
{
        for (int i = 0; r->nr_flying > 0 && i < READ_SLOTS; i++) {
                if (r->slots[i].state != SLOT_FLYING || r->slots[i].deadline_ns > now)
                        continue;
                r->slots[i].state = SLOT_ABANDONED;
                r->nr_flying--;
                r->nr_abandoned++;
                cancel(r, i);
                return i;
        }
        return -1;
}

uint64_t read_ring_next_deadline_ns(const struct read_ring *r)
{
        uint64_t next = UINT64_MAX;

        for (int i = 0; r->nr_flying > 0 && i < READ_SLOTS; i++)
                if (r->slots[i].state == SLOT_FLYING)
                        next = MIN(next, r->slots[i].deadline_ns);
        return next;
}

size_t read_ring_nr_flying(const struct read_ring *r)
{
        return r->nr_flying;
}

int read_ring_fd(const struct read_ring *r)
{
        return r->ring.ring_fd;
}
