/* madvise(MADV_COLLAPSE), Linux 6.1, range by range. */
#include "core/collapse.h"

#include "core/base/thread.h"
#include "core/base/uapi.h"
#include "core/ram_presence.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RANGE_PAGES (HUGE_PAGE_BYTES / PAGE_BYTES)

/* A range with fewer pages stays as it is: what is not there is zeros or was given back by a balloon, and would take memory. An
 * eighth may be missing: arbitrary. */
#define LEAST_PAGES (RANGE_PAGES - RANGE_PAGES / 8)

struct collapse {
        const struct guest_ram *ram;
        pthread_t               thread;
        /* relaxed: a flag to end, a number to show */
        _Atomic bool     stop;
        _Atomic uint64_t bytes;
};

/* A range that a mapped file reaches into is the page cache's. */
static bool has_mapped(const struct guest_ram *ram, uint64_t first)
{
        for (size_t i = 0; i < ram->nr_mapped; i++)
                if (ram->mapped[i].first_page < first + RANGE_PAGES &&
                    first < ram->mapped[i].first_page + ram->mapped[i].nr_pages)
                        return true;
        return false;
}

static bool collapse_range(const struct guest_ram *ram, const struct ram_presence *there, uint64_t first)
{
        uint8_t *at = ram->base + pages_to_bytes(first);

        if (has_mapped(ram, first) || ram_presence_count(there, first, RANGE_PAGES) < LEAST_PAGES)
                return false;
        /* the range was MADV_NOHUGEPAGE until now, which forbids this, too */
        madvise(at, HUGE_PAGE_BYTES, MADV_HUGEPAGE);
        return madvise(at, HUGE_PAGE_BYTES, MADV_COLLAPSE) == 0;
}

static void *collapse_main(void *arg)
{
        struct collapse *c = arg;
        struct sched_param none = {0};
        struct ram_presence there;
        uint64_t nr_pages = bytes_to_pages(c->ram->size_bytes) / RANGE_PAGES * RANGE_PAGES;

        pthread_setname_np(pthread_self(), "rouse-collapse");
        (void)pthread_setschedparam(pthread_self(), SCHED_IDLE, &none); /* nobody needs a privilege for it */
        ram_presence_open(&there, c->ram);
        for (uint64_t first = 0; first < nr_pages && !atomic_load_explicit(&c->stop, memory_order_relaxed); first += RANGE_PAGES)
                if (collapse_range(c->ram, &there, first))
                        atomic_fetch_add_explicit(&c->bytes, HUGE_PAGE_BYTES, memory_order_relaxed);
        ram_presence_close(&there);
        return NULL;
}

int collapse_start(const struct guest_ram *ram, struct collapse **ret, struct err *e)
{
        struct collapse *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return err_set(e, -ENOMEM, "no memory for the thread that makes huge pages");
        c->ram = ram;
        r = thread_start(&c->thread, collapse_main, c);
        if (r < 0) {
                free(c);
                return err_set(e, r, "thread that makes huge pages: %s", strerror(-r));
        }
        *ret = c;
        return 0;
}

void collapse_free(struct collapse *c)
{
        if (!c)
                return;
        atomic_store_explicit(&c->stop, true, memory_order_relaxed);
        pthread_join(c->thread, NULL);
        free(c);
}

uint64_t collapse_bytes(const struct collapse *c)
{
        return c ? atomic_load_explicit(&c->bytes, memory_order_relaxed) : 0;
}
