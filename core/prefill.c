/* A few threads, each with a reader of its own, take range after range; the session thread is one of them while it has nothing
 * better to do. */
#include "core/prefill.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/thread.h"
#include "formats/page_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define RANGE_PAGES (HUGE_PAGE_BYTES / PAGE_BYTES)

struct prefill {
        /* set before the threads start, then read-only */
        struct prefill_config c;
        uint32_t              nr_threads;
        pthread_t             threads[PREFILL_THREADS_MAX];
        struct page_reader    readers[PREFILL_THREADS_MAX];
        /* relaxed: a ticket each; the join hands the rest over */
        _Atomic size_t   next, next_reader;
        _Atomic uint64_t bytes, last_ns;
        _Atomic bool     failed;
        /* under lock: the first error */
        pthread_mutex_t lock;
        int             error;
        struct err      err;
};

static void fail(struct prefill *p, int r, const struct err *e)
{
        pthread_mutex_lock(&p->lock);
        if (!p->error) {
                p->error = r;
                p->err = *e;
        }
        pthread_mutex_unlock(&p->lock);
        atomic_store_explicit(&p->failed, true, memory_order_relaxed);
}

/* Parts with bytes are read; zeros are already there, in the same huge page. */
static int read_range(struct prefill *p, struct page_reader *reader, const struct pager_range *range, struct err *e)
{
        uint64_t first = range->first_page, end = range->first_page + range->nr_pages;
        int r = 0;

        while (first < end && r >= 0) {
                const struct page_run *run = page_map_find(p->c.map, first);
                uint64_t nr = MIN(end, run->first_page + run->nr_pages) - first;

                if (run->kind != RUN_ZERO) {
                        r = page_reader_read(reader, first, nr, p->c.ram->base + pages_to_bytes(first), e);
                        atomic_fetch_add_explicit(&p->bytes, pages_to_bytes(nr), memory_order_relaxed);
                }
                first += nr;
        }
        return r;
}

/* All that will be read is asked for at once, before the first of it is waited for: a disk is fast at depth only. The kernel
 * takes 128 KiB at a time for certain (force_page_cache_ra caps a call at the device's read-ahead). */
static void ask_ahead(const struct prefill_config *c)
{
        for (size_t i = 0; i < c->nr_ranges; i++) {
                uint64_t first = c->ranges[i].first_page, end = first + c->ranges[i].nr_pages;

                while (first < end) {
                        const struct page_run *run = page_map_find(c->map, first);
                        uint64_t stop = MIN(end, run->first_page + run->nr_pages), offset;

                        for (; run->kind == RUN_RAW && first < stop; first += MIN(32, stop - first)) {
                                offset = run->file_offset_bytes + pages_to_bytes(first - run->first_page);
                                posix_fadvise(c->map->sources[run->source].fd, (off_t)offset,
                                              (off_t)pages_to_bytes(MIN(32, stop - first)), POSIX_FADV_WILLNEED);
                        }
                        first = stop;
                }
        }
}

static void note_end(struct prefill *p)
{
        uint64_t now = now_ns(), last = atomic_load_explicit(&p->last_ns, memory_order_relaxed);

        while (last < now &&
               !atomic_compare_exchange_weak_explicit(&p->last_ns, &last, now, memory_order_relaxed, memory_order_relaxed))
                ;
}

/* The next range that nobody has taken, unless no more than spare are left; false: it is over. */
static bool read_next(struct prefill *p, struct page_reader *reader, size_t spare)
{
        struct err err = {0};
        size_t i;
        int r;

        if (atomic_load_explicit(&p->failed, memory_order_relaxed) ||
            atomic_load_explicit(&p->next, memory_order_relaxed) + spare >= p->c.nr_ranges)
                return false;
        i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (i >= p->c.nr_ranges)
                return false;
        r = read_range(p, reader, &p->c.ranges[i], &err);
        if (r < 0)
                fail(p, r, &err);
        note_end(p);
        return r >= 0;
}

static void *read_ranges(void *arg)
{
        struct prefill *p = arg;
        size_t i = atomic_fetch_add_explicit(&p->next_reader, 1, memory_order_relaxed);

        if (i == 0 && p->c.cold)
                ask_ahead(&p->c);
        while (read_next(p, &p->readers[i], 0))
                ;
        return NULL;
}

/* Exactly these bytes: everything else of RAM must stay without huge pages. It fails only where a kernel has none.
 * Neighbours in one call, and before anybody reads: it wants mmap_lock for itself. A MADV_POPULATE_WRITE would hold that while it
 * clears 2 MiB (0.35 ms), so there is none: the first byte that is read brings the huge page. T6 of 128 MiB of which 34 are read
 * ahead: 11.8 ms, 12.4 before. */
static void ask_huge(const struct prefill_config *c)
{
        for (size_t i = 0, n; i < c->nr_ranges; i += n) {
                uint64_t end = c->ranges[i].first_page + c->ranges[i].nr_pages;

                for (n = 1; i + n < c->nr_ranges && c->ranges[i + n].first_page == end; n++)
                        end += c->ranges[i + n].nr_pages;
                madvise(c->ram->base + pages_to_bytes(c->ranges[i].first_page),
                        pages_to_bytes(end - c->ranges[i].first_page), MADV_HUGEPAGE);
        }
}

static void give_back(struct prefill *p)
{
        for (uint32_t i = 0; i < PREFILL_THREADS_MAX; i++)
                page_reader_fini(&p->readers[i]);
        pthread_mutex_destroy(&p->lock);
        free(p);
}

static int start(struct prefill *p)
{
        uint32_t want = (uint32_t)MIN((size_t)MIN(p->c.nr_threads, (uint32_t)PREFILL_THREADS_MAX), p->c.nr_ranges);
        int r = 0;

        for (uint32_t i = 0; i < MAX(want, 1) && r >= 0; i++) {
                r = page_reader_init(&p->readers[i], p->c.map, p->c.verify);
                if (r >= 0)
                        r = thread_start(&p->threads[i], read_ranges, p);
                if (r >= 0)
                        p->nr_threads++;
        }
        return p->nr_threads ? 0 : r; /* one thread is enough */
}

int prefill_begin(const struct prefill_config *c, struct prefill **ret, struct err *e)
{
        struct prefill *p;
        int r;

        *ret = NULL;
        if (!c->nr_ranges)
                return 0;
        p = calloc(1, sizeof(*p));
        if (!p)
                return err_set(e, -ENOMEM, "no memory to read %zu ranges ahead", c->nr_ranges);
        p->c = *c;
        pthread_mutex_init(&p->lock, NULL);
        ask_huge(c);
        r = start(p);
        if (r < 0) {
                give_back(p);
                return err_set(e, r, "threads that read %zu ranges ahead: %s", c->nr_ranges, strerror(-r));
        }
        *ret = p;
        return 0;
}

void prefill_help(struct prefill *p)
{
        struct page_reader reader;

        if (!p || page_reader_init(&reader, p->c.map, p->c.verify) < 0)
                return; /* the others do it alone */
        while (read_next(p, &reader, p->nr_threads))
                ;
        page_reader_fini(&reader);
}

int prefill_finish(struct prefill *p, uint64_t *ret_bytes, uint64_t *ret_ns, struct err *e)
{
        int r;

        if (!p)
                return 0;
        for (uint32_t i = 0; i < p->nr_threads; i++)
                pthread_join(p->threads[i], NULL);
        r = p->error;
        if (r < 0 && e)
                *e = p->err;
        *ret_bytes = atomic_load_explicit(&p->bytes, memory_order_relaxed);
        *ret_ns = atomic_load_explicit(&p->last_ns, memory_order_relaxed);
        give_back(p);
        return r;
}
