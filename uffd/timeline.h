/* uffd/timeline.h: what came when, and why: one entry for neighbours that came together.
 * Owns:    its array, which the kernel backs only where it is written; the first MiB is there before the thread begins.
 * Threads: timeline_add on the pager thread; timeline_get when that has ended.
 * Blocks:  never. */
#pragma once

#include "core/base/clock.h"
#include "uffd/pager.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timeline {
        struct pager_arrival *v; /* NULL: nobody asked for it */
        size_t                nr, cap;
        uint64_t              dropped_pages; /* that found it full */
};

/* Room for cap entries; 0 or -ENOMEM. */
int  timeline_init(struct timeline *t, size_t cap);
void timeline_free(struct timeline *t); /* accepts a zeroed one */

static inline bool timeline_is_on(const struct timeline *t)
{
        return t->v != NULL;
}

/* The moment for timeline_add; 0, and no look at the clock, where nobody asked. */
static inline uint64_t timeline_now(const struct timeline *t)
{
        return timeline_is_on(t) ? now_ns() : 0;
}

void timeline_put(struct timeline *t, uint64_t ns, uint64_t first_page, uint64_t nr_pages, enum fault_class why);

/* The pages [first, +nr) are there since ns. Joined with the entry before where that is the same moment's, and class, and
 * neighbour. */
static inline void timeline_add(struct timeline *t, uint64_t ns, uint64_t first_page, uint64_t nr_pages, enum fault_class why)
{
        if (timeline_is_on(t) && nr_pages > 0)
                timeline_put(t, ns, first_page, nr_pages, why);
}

size_t timeline_get(const struct timeline *t, const struct pager_arrival **ret, uint64_t *ret_dropped_pages);
