/* uffd/fill.h: what to bring next when nobody asks, and whether now is the time.
 * Owns:    nothing; borrows the page map and the ranges.
 * Threads: pager thread only.
 * Blocks:  never. */
#pragma once

#include "uffd/replay.h"

/* Polite: one small batch each 2 ms, and none within 1 ms of a fault: a guest that starts up sees a tenth of a core at most.
 * Where the host has a CPU for the pager alone, a guest that has spoken and has not faulted for 1 ms loses nothing by a fill at
 * full rate. */
#define FILL_POLITE_PAGES     64
#define FILL_POLITE_EVERY_NS  (2 * NS_PER_MS)
#define FILL_POLITE_QUIET_NS  (1 * NS_PER_MS)
#define FILL_POLITE_AFTER_T3  (2 * NS_PER_S) /* architecture.md */
#define FILL_POLITE_AFTER_T2  (5 * NS_PER_S) /* for a guest that stays silent */
/* 1 MiB: UFFDIO_COPY costs 1.5 us a page alone, 1.2 in 64 pages, 1.15 in 256 or 512 (measured on the host of restore-costs.md),
 * and a fault waits for a whole batch: so only where nobody runs. */
#define FILL_FULL_PAGES 256

/* What the pager knows when it asks. Times in ns of CLOCK_MONOTONIC, 0: not yet. */
struct fill_times {
        bool     on;      /* config.fill, and not recording */
        bool     hurried; /* pager_hurry */
        bool     paused;  /* config.paused */
        bool     spare_cpu; /* config.spare_cpu */
        uint64_t entered_ns, spoke_ns;
        uint64_t last_fault_ns, last_batch_ns;
};

/* When the next batch may be brought: 0 at once and at full rate, UINT64_MAX never, else a time. */
uint64_t fill_when_ns(const struct fill_times *t, uint64_t now_ns);

struct fill {
        size_t   range; /* index into the served ranges */
        uint64_t page;  /* none before it is absent any more, but for those that were passed */
        bool     passed;
};

/* Goes on at page; what is absent before it is left so. */
static inline void fill_pass(struct fill *f, uint64_t page)
{
        f->page = page;
        f->passed = true;
}

/* Nothing is absent any more but what was passed. */
static inline bool fill_is_over(const struct fill *f, const struct replay_view *v)
{
        return f->range == v->served.nr;
}

/* The next pages that are absent and neighbours within one run, raw or zero, at most max_pages. nr_pages 0: none is left. */
struct extent fill_peek(struct fill *f, const struct replay_view *v, uint64_t max_pages);
