/* uffd/read_ring.c: io_uring; each slot has a part of one buffer. */
#include "uffd/read_ring.h"

#include "core/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/ioprio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BUFFER_BYTES (READ_POOL_PAGES * PAGE_BYTES)
#define ROOM_BYTES   (BUFFER_BYTES + HUGE_PAGE_BYTES) /* to begin at a multiple of 2 MiB */

/* Every slot may have a read queued; cancellations find room once those are submitted. */
#define RING_ENTRIES 256
static_assert(READ_SLOTS <= RING_ENTRIES, "a submission entry for every read");
static_assert(READ_SLOTS * 2 <= RING_ENTRIES * 2, "a completion entry for every read and its cancellation");

#define TAG_CANCEL READ_SLOTS /* user_data: slots are numbers below READ_SLOTS */

#define WORDS ((READ_SLOTS + 63) / 64)

enum slot_state { SLOT_FREE, SLOT_TAKEN, SLOT_FLYING, SLOT_ABANDONED };

struct slot {
        uint8_t  state; /* enum slot_state */
        bool     urgent;
        uint16_t nr_pages;
        int      first_page; /* of the buffer */
        uint64_t deadline_ns;
};

struct read_ring {
        struct io_uring  ring;
        void            *room;
        uint8_t         *buffer;
        bool             fixed_buffer;
        size_t           nr_files;
        int              files[READ_FILES_MAX];
        size_t           nr_flying, nr_abandoned, nr_shared;
        uint64_t         next_deadline_ns; /* none passes before it */
        uint64_t         free[WORDS];
        struct read_pool pool;
        struct slot      slots[READ_SLOTS];
};

int read_ring_new(struct read_ring **ret)
{
        struct read_ring *r = calloc(1, sizeof(*r));
        int               e;

        if (!r)
                return -ENOMEM;
        r->room = mmap(NULL, ROOM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (r->room == MAP_FAILED) {
                free(r);
                return -ENOMEM;
        }
        r->buffer = (uint8_t *)align_up((uint64_t)r->room, HUGE_PAGE_BYTES);
        r->next_deadline_ns = UINT64_MAX;
        for (uint32_t i = 0; i < READ_SLOTS; i++)
                r->free[i / 64] |= UINT64_C(1) << i % 64;
        e = io_uring_queue_init(RING_ENTRIES, &r->ring, 0);
        if (e < 0) {
                munmap(r->room, ROOM_BYTES);
                free(r);
                return e;
        }
        *ret = r;
        return 0;
}

void read_ring_register(struct read_ring *r, const int *fds, size_t nr_fds)
{
        struct iovec all = { .iov_base = r->buffer, .iov_len = BUFFER_BYTES };

        /* Two faults instead of 1024, where the kernel has huge pages to give. */
        (void)madvise(r->buffer, BUFFER_BYTES, MADV_HUGEPAGE);
        r->fixed_buffer = io_uring_register_buffers(&r->ring, &all, 1) == 0;
        for (size_t i = 0; i < nr_fds && r->nr_files < READ_FILES_MAX; i++)
                if (fds[i] >= 0)
                        r->files[r->nr_files++] = fds[i];
        if (r->nr_files > 0 && io_uring_register_files(&r->ring, r->files, (unsigned int)r->nr_files) < 0)
                r->nr_files = 0;
}

bool read_ring_has_fixed_buffer(const struct read_ring *r)
{
        return r->fixed_buffer;
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
        for (; r->nr_abandoned > 0 && now < end_ns; now = now_ns()) {
                struct __kernel_timespec t = { .tv_sec = (int64_t)((end_ns - now) / NS_PER_S), .tv_nsec = (int64_t)((end_ns - now) % NS_PER_S) };
                struct io_uring_cqe     *cqe;

                read_ring_submit(r); /* again, where the kernel did not take it at once */
                (void)io_uring_wait_cqe_timeout(&r->ring, &cqe, &t);
                while (read_ring_reap(r, &result) >= 0)
                        ;
        }
        return r->nr_abandoned == 0;
}

void read_ring_free(struct read_ring *r)
{
        if (!r)
                return;
        (void)read_ring_take_back(r, READ_RING_PATIENCE_NS);
        io_uring_queue_exit(&r->ring);
        /* A read that could not be taken back may still write to its buffer: then the address space is left to it. */
        if (r->nr_abandoned == 0)
                munmap(r->room, ROOM_BYTES);
        free(r);
}

static int find_slot(const struct read_ring *r)
{
        for (int w = 0; w < WORDS; w++)
                if (r->free[w])
                        return w * 64 + __builtin_ctzll(r->free[w]);
        return -1;
}

/* No room: does somebody come back who will make some? */
static int why_full(const struct read_ring *r)
{
        return r->nr_abandoned > 0 && r->nr_flying == 0 ? -ETIMEDOUT : -EBUSY;
}

int read_ring_take(struct read_ring *r, uint32_t nr_pages, bool urgent)
{
        int slot = find_slot(r), first;

        if (slot < 0 || (!urgent && r->nr_shared >= READ_SLOTS_SHARED))
                return why_full(r);
        first = read_pool_take(&r->pool, nr_pages, urgent);
        if (first < 0)
                return why_full(r);
        r->slots[slot] = (struct slot){ .state = SLOT_TAKEN, .urgent = urgent, .nr_pages = (uint16_t)nr_pages, .first_page = first };
        r->free[slot / 64] &= ~(UINT64_C(1) << slot % 64);
        r->nr_shared += !urgent;
        return slot;
}

static void set_free(struct read_ring *r, int slot)
{
        struct slot *s = &r->slots[slot];

        read_pool_give(&r->pool, s->first_page, s->nr_pages);
        r->nr_shared -= !s->urgent;
        s->state = SLOT_FREE;
        r->free[slot / 64] |= UINT64_C(1) << slot % 64;
}

uint8_t *read_ring_buf(struct read_ring *r, int slot)
{
        return r->buffer + pages_to_bytes((uint64_t)r->slots[slot].first_page);
}

/* Which of the registered files is it? -1: none. */
static int find_file(const struct read_ring *r, int fd)
{
        for (size_t i = 0; i < r->nr_files; i++)
                if (r->files[i] == fd)
                        return (int)i;
        return -1;
}

static void prepare(const struct read_ring *r, struct io_uring_sqe *sqe, uint8_t *to, const struct read_order *o)
{
        int file = find_file(r, o->fd);

        if (r->fixed_buffer)
                io_uring_prep_read_fixed(sqe, file < 0 ? o->fd : file, to, (unsigned int)o->len_bytes, o->offset_bytes, 0);
        else
                io_uring_prep_read(sqe, file < 0 ? o->fd : file, to, (unsigned int)o->len_bytes, o->offset_bytes);
        if (file >= 0)
                io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
}

void read_ring_start(struct read_ring *r, int slot, const struct read_order *o)
{
        struct slot         *s = &r->slots[slot];
        struct io_uring_sqe *sqe = next_sqe(r);

        s->state = SLOT_FLYING;
        s->deadline_ns = o->deadline_ns;
        r->next_deadline_ns = MIN(r->next_deadline_ns, o->deadline_ns);
        r->nr_flying++;
        if (!sqe)
                return; /* the kernel takes no submissions: the deadline tells */
        prepare(r, sqe, read_ring_buf(r, slot) + o->buf_offset_bytes, o);
        /* Levels of the class that everybody may use. Schedulers that know levels (bfq) let who waits overtake in the device's
         * queue, too. */
        sqe->ioprio = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, s->urgent ? 0 : 7);
        io_uring_sqe_set_data64(sqe, (uint64_t)slot);
}

void read_ring_release(struct read_ring *r, int slot)
{
        set_free(r, slot);
}

void read_ring_submit(struct read_ring *r)
{
        /* What the kernel does not take now stays queued for the next time; a read that never starts is caught by its
         * deadline. */
        if (io_uring_sq_ready(&r->ring) > 0)
                (void)io_uring_submit(&r->ring);
}

/* True when the completion was that of a read somebody still waits for. */
static bool complete(struct read_ring *r, uint64_t tag)
{
        struct slot *s = tag < READ_SLOTS ? &r->slots[tag] : NULL;

        if (!s)
                return false;
        if (s->state == SLOT_ABANDONED) {
                set_free(r, (int)tag);
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

/* What flies and has passed its deadline, or -1; then the earliest deadline is known again. */
static int find_expired(struct read_ring *r, uint64_t now)
{
        uint64_t next = UINT64_MAX;

        for (int i = 0; i < READ_SLOTS; i++) {
                if (r->slots[i].state != SLOT_FLYING)
                        continue;
                if (r->slots[i].deadline_ns <= now)
                        return i;
                next = MIN(next, r->slots[i].deadline_ns);
        }
        r->next_deadline_ns = next;
        return -1;
}

int read_ring_expire(struct read_ring *r, uint64_t now)
{
        int i = r->next_deadline_ns <= now ? find_expired(r, now) : -1;

        if (i < 0)
                return -1;
        r->slots[i].state = SLOT_ABANDONED;
        r->nr_flying--;
        r->nr_abandoned++;
        cancel(r, i);
        return i;
}

uint64_t read_ring_next_deadline_ns(const struct read_ring *r)
{
        return r->nr_flying > 0 ? r->next_deadline_ns : UINT64_MAX;
}

size_t read_ring_nr_flying(const struct read_ring *r)
{
        return r->nr_flying;
}

size_t read_ring_nr_shared(const struct read_ring *r)
{
        return r->nr_shared;
}

int read_ring_fd(const struct read_ring *r)
{
        return r->ring.ring_fd;
}
