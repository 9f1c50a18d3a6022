/* A few threads, each with a reader of its own, take range after range. */
#include "core/prefill.h"

#include "core/base/cleanup.h"
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
        _Atomic uint64_t bytes;
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

        /* Exactly these bytes: everything else of RAM must stay without huge pages. It fails only where a kernel has none. */
        madvise(p->c.ram->base + pages_to_bytes(first), pages_to_bytes(range->nr_pages), MADV_HUGEPAGE);
        /* it only saves time */
        madvise(p->c.ram->base + pages_to_bytes(first), pages_to_bytes(range->nr_pages), MADV_POPULATE_WRITE);
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

static void *read_ranges(void *arg)
{
        struct prefill *p = arg;
        size_t i = atomic_fetch_add_explicit(&p->next_reader, 1, memory_order_relaxed);
        struct page_reader *reader = &p->readers[i];

        if (i == 0 && p->c.cold)
                ask_ahead(&p->c);
        while ((i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->c.nr_ranges &&
               !atomic_load_explicit(&p->failed, memory_order_relaxed)) {
                struct err err = {0};
                int r = read_range(p, reader, &p->c.ranges[i], &err);

                if (r < 0)
                        fail(p, r, &err);
        }
        return NULL;
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
                        r = -pthread_create(&p->threads[i], NULL, read_ranges, p);
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
        r = start(p);
        if (r < 0) {
                give_back(p);
                return err_set(e, r, "threads that read %zu ranges ahead: %s", c->nr_ranges, strerror(-r));
        }
        *ret = p;
        return 0;
}

int prefill_finish(struct prefill *p, uint64_t *ret_bytes, struct err *e)
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
        give_back(p);
        return r;
}
