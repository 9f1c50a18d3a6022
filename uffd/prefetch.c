/* uffd/prefetch.c: one batch ahead of the guest's asking: the hints first, then the rest. */
#include "uffd/pager_internal.h"

#include "core/base/clock.h"

#include <fcntl.h>

/* A fault waits for one batch at most: 64 pages or 16 extents are some 120 us on the host of restore-costs.md. */
#define REPLAY_PAGES   64
#define REPLAY_EXTENTS 16
#define FILL_EXTENTS   16

/* Slots that replay and fill leave for those who wait. */
#define REPLAY_SLOTS      48
#define FILL_SLOTS        16
#define FILL_POLITE_SLOTS 2

/* Hints that are this near are read ahead with the hole between them: restore-costs.md. */
#define AHEAD_GAP_PAGES 3
#define AHEAD_MAX_PAGES 2048
#define AHEAD_BATCH     16

static bool may_fly(const struct pager *p, size_t max_slots)
{
        return !p->ring || read_ring_nr_flying(p->ring) < max_slots;
}

enum brought { BROUGHT_NONE, BROUGHT_SOME, BROUGHT_COLD };

static enum brought bring_granule(struct pager *p, uint64_t page, enum fault_class why)
{
        if (pager_bring_shared(p, granule_of(page), GRANULE_PAGES, why) > 0 || pager_bring_granule(p, page, why))
                return BROUGHT_SOME;
        return BROUGHT_NONE;
}

/* Brings an extent, or the first part of it. None: the ring is full. */
static enum brought bring(struct pager *p, const struct extent *x, size_t max_slots, enum fault_class why)
{
        uint64_t got;

        if (p->granules.memory)
                return bring_granule(p, x->first_page, why);
        if (x->run->kind == RUN_ZERO) {
                pager_deliver_zeros(p, x->first_page, x->nr_pages);
                return BROUGHT_SOME;
        }
        if (pager_bring_shared(p, x->first_page, x->nr_pages, why) > 0 || (x->run->kind == RUN_PACKED && packed_bring(p, x, why) > 0))
                return BROUGHT_SOME;
        got = x->run->kind == RUN_PACKED ? 0 : sources_read_cached(&p->sources, x->run, x->first_page, x->nr_pages, p->buf);
        if (got > 0) {
                count(&p->n.read_bytes, pages_to_bytes(got));
                pager_deliver(p, x->first_page, got, p->buf, why);
                return BROUGHT_SOME;
        }
        if (!may_fly(p, max_slots) || slow_start(p, x, why) == SLOW_BUSY)
                return BROUGHT_NONE;
        return BROUGHT_COLD;
}

/* The hints are not cached: ask for all of them at once, long before their turn (depth is everything). */
static void begin_ahead(struct pager *p)
{
        if (p->replay_is_cold)
                return;
        p->replay_is_cold = true;
        hint_walk_init(&p->ahead, p->replay.list, p->replay.nr_list);
}

/* Where an extent's bytes are in its file; how many. */
static uint64_t extent_bytes(const struct page_map *map, const struct extent *x, uint64_t *ret_offset_bytes)
{
        const struct page_chunk *first, *last;

        if (x->run->kind == RUN_RAW) {
                *ret_offset_bytes = run_offset_bytes(x->run, x->first_page);
                return pages_to_bytes(x->nr_pages);
        }
        first = page_map_find_chunk(map, x->run, x->first_page).chunk;
        last = page_map_find_chunk(map, x->run, x->first_page + x->nr_pages - 1).chunk;
        *ret_offset_bytes = first->file_offset_bytes;
        return last->file_offset_bytes + last->packed_bytes - first->file_offset_bytes;
}

static bool advise(struct pager *p, const struct extent *x)
{
        int      fd = run_fd(p->c.map, x->run);
        uint64_t offset, len = extent_bytes(p->c.map, x, &offset);

        if (p->ring)
                return read_ring_advise(p->ring, fd, offset, len);
        (void)posix_fadvise(fd, (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED); /* advice: a refusal costs time, no page */
        return true;
}

static bool ahead_step(struct pager *p)
{
        int n = 0;

        for (; p->replay_is_cold && n < AHEAD_BATCH; n++) {
                struct extent x = hint_walk_peek(&p->ahead, &p->view, AHEAD_MAX_PAGES, AHEAD_GAP_PAGES, false);

                if (x.nr_pages == 0 || !advise(p, &x))
                        break;
                hint_walk_pass(&p->ahead, x.first_page + x.nr_pages);
        }
        return n > 0;
}

/* Pages that were installed or are being read are passed by the walk itself. */
static bool replay_step(struct pager *p)
{
        uint64_t pages = 0;
        bool     any = false;

        for (int n = 0; n < REPLAY_EXTENTS && pages < REPLAY_PAGES && !pager_must_end(p); n++) {
                struct extent x = hint_walk_peek(&p->replay, &p->view, REPLAY_PAGES - pages, 0, true);
                enum brought  b = x.nr_pages ? bring(p, &x, REPLAY_SLOTS, FAULT_REPLAY) : BROUGHT_NONE;

                if (b == BROUGHT_NONE)
                        break;
                if (b == BROUGHT_COLD)
                        begin_ahead(p);
                pages += x.nr_pages;
                any = true;
        }
        return any;
}

static struct fill_times fill_times(const struct pager *p)
{
        /* Relaxed: each is a hint to the timing and hands over nothing else. */
        return (struct fill_times){
                .on            = p->c.fill && !record_is_on(&p->record),
                .hurried       = atomic_load_explicit(&p->hurried, memory_order_relaxed),
                .paused        = p->c.paused,
                .spare_cpu     = p->c.spare_cpu,
                .entered_ns    = atomic_load_explicit(&p->entered_ns, memory_order_relaxed),
                .spoke_ns      = atomic_load_explicit(&p->spoke_ns, memory_order_relaxed),
                .last_fault_ns = p->last_fault_ns,
                .last_batch_ns = p->last_batch_ns,
        };
}

/* Up to max_pages in a few extents: what hints and faults have left is full of holes. */
static bool fill_batch(struct pager *p, uint64_t max_pages, size_t max_slots)
{
        uint64_t pages = 0;

        for (int n = 0; n < FILL_EXTENTS && pages < max_pages && !pager_must_end(p); n++) {
                struct extent x = fill_peek(&p->fill, &p->view, max_pages - pages);

                if ((x.nr_pages > 0 || stage_is_busy(&p->stage)) && stage_step(p, x.first_page, max_pages - pages))
                        return true;
                x.nr_pages = MIN(x.nr_pages, STAGE_PAGES - x.first_page % STAGE_PAGES); /* the next 2 MiB may be for staging */
                if (x.nr_pages == 0 || bring(p, &x, max_slots, FAULT_FILL) == BROUGHT_NONE)
                        break;
                pages += x.nr_pages;
        }
        return pages > 0;
}

static bool fill_step(struct pager *p, uint64_t now, uint64_t *ret_when_ns)
{
        struct fill_times t = fill_times(p);
        uint64_t          when = fill_when_ns(&t, now);
        bool              full = when == 0;

        *ret_when_ns = when;
        if (when > now)
                return false;
        *ret_when_ns = UINT64_MAX; /* what stops it from here on ends with a read, not at a time */
        if (!fill_batch(p, full && !t.entered_ns ? FILL_FULL_PAGES : FILL_POLITE_PAGES, full ? FILL_SLOTS : FILL_POLITE_SLOTS))
                return false;
        p->last_batch_ns = now;
        return true;
}

bool pager_prefetch(struct pager *p, uint64_t now, uint64_t *ret_when_ns)
{
        *ret_when_ns = UINT64_MAX;
        if (p->settled)
                return false;
        if (!hint_walk_is_over(&p->replay)) {
                bool asked = ahead_step(p);

                if (replay_step(p) || asked)
                        return true;
                if (!hint_walk_is_over(&p->replay))
                        return false;
        }
        return fill_step(p, now, ret_when_ns);
}

void pager_check_replayed(struct pager *p)
{
        if (p->replayed || !hint_walk_is_over(&p->replay) || p->states.nr_marked > 0)
                return;
        p->replayed = true;
        if (p->c.events.replayed)
                p->c.events.replayed(p->c.events.arg, now_ns());
}
