/* uffd/prefetch.c: one batch ahead of the guest's asking: the hints first, then the rest. */
#include "uffd/backing.h"
#include "uffd/pager_internal.h"

#include "core/base/clock.h"

#include <fcntl.h>

/* A fault waits for one batch at most: 64 pages or 16 extents are some 120 us on the host of restore-costs.md. */
#define REPLAY_PAGES   64
#define REPLAY_EXTENTS 16
/* To ask for one that is not cached takes 4 us, and the device's bell is rung once for all of them. */
#define REPLAY_COLD_EXTENTS 32
#define FILL_EXTENTS   16

/* Reads that the fill has under way: 1 MiB keeps a disk of 1 GB/s busy, and who waits stands behind it in the device's queue.
 * More where nobody runs who could wait. */
#define FILL_SLOTS        4
#define FILL_PAUSED_SLOTS 14
#define FILL_POLITE_SLOTS 2

/* Hints that are this near are read ahead with the hole between them: restore-costs.md. */
#define AHEAD_GAP_PAGES 3
#define AHEAD_MAX_PAGES 2048
#define AHEAD_BATCH     16

static size_t nr_ahead(const struct pager *p)
{
        return p->ring ? read_ring_nr_shared(p->ring) : 0;
}

static uint64_t bring_cold(struct pager *p, const struct extent *x, size_t max_slots, enum fault_class why)
{
        if (nr_ahead(p) >= max_slots)
                return 0;
        return slow_start(p, x, why);
}

/* How many pages; 0: no place, later. */
static uint64_t bring_granule(struct pager *p, uint64_t page, enum fault_class why)
{
        if (pager_bring_shared(p, granule_of(page), GRANULE_PAGES, why) > 0 || pager_bring_granule(p, page, why))
                return GRANULE_PAGES;
        return 0;
}

static uint64_t bring_raw(struct pager *p, struct extent x, size_t max_slots, enum fault_class why)
{
        bool     cached = true;
        uint64_t got;

        if (cold_is_known(&p->cold, x.run))
                x.nr_pages = cold_look(&p->cold, x.run, x.first_page, x.nr_pages, &cached);
        got = cached ? sources_read_cached(&p->sources, x.run, x.first_page, x.nr_pages, p->buf) : 0;
        if (got == 0) {
                cold_note(&p->cold, x.run);
                return bring_cold(p, &x, max_slots, why);
        }
        count(&p->n.read_bytes, pages_to_bytes(got));
        pager_deliver(p, x.first_page, got, p->buf, why);
        return got;
}

static uint64_t bring_packed(struct pager *p, const struct extent *x, size_t max_slots, enum fault_class why)
{
        uint64_t got = packed_bring(p, x, why);

        if (got > 0)
                return got;
        cold_note(&p->cold, x->run);
        return bring_cold(p, x, max_slots, why);
}

/* Brings the first pages of an extent, and says how many. 0: none, the ring is full. */
static uint64_t bring(struct pager *p, const struct extent *x, size_t max_slots, enum fault_class why)
{
        uint64_t got;

        if (p->granules.memory)
                return bring_granule(p, x->first_page, why);
        if (x->run->kind == RUN_ZERO) {
                pager_deliver_zeros(p, x->first_page, x->nr_pages);
                return x->nr_pages;
        }
        got = pager_bring_shared(p, x->first_page, x->nr_pages, why);
        if (got > 0)
                return got;
        return x->run->kind == RUN_PACKED ? bring_packed(p, x, max_slots, why) : bring_raw(p, *x, max_slots, why);
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

/* Without io_uring, and the hints are not cached: the kernel is asked for all of them, long before their turn. */
static bool ahead_step(struct pager *p)
{
        int n = 0;

        if (p->ring)
                return false;
        for (; p->replay_is_cold && n < AHEAD_BATCH; n++) {
                struct extent x = hint_walk_peek(&p->ahead, &p->view, AHEAD_MAX_PAGES, AHEAD_GAP_PAGES, false);
                uint64_t      offset, len;

                if (x.nr_pages == 0)
                        break;
                len = extent_bytes(p->c.map, &x, &offset);
                /* advice: a refusal costs time, no page */
                (void)posix_fadvise(run_fd(p->c.map, x.run), (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED);
                hint_walk_pass(&p->ahead, x.first_page + x.nr_pages);
        }
        return n > 0;
}

static void note_cold(struct pager *p, const struct extent *x)
{
        if (p->ring || p->replay_is_cold || x->run->kind == RUN_ZERO || !cold_is_known(&p->cold, x->run))
                return;
        p->replay_is_cold = true;
        hint_walk_init(&p->ahead, p->replay.list, p->replay.nr_list);
}

/* The next hints that may be brought now. None: the budget is used up; or they are of a later phase, and somebody waits for
 * something else. */
static struct extent next_hints(struct pager *p, uint64_t max_pages, uint64_t now)
{
        struct extent x;

        if (p->replay_left_pages == 0 || now >= p->replay_end_ns)
                hint_walk_end(&p->replay, &p->view);
        x = hint_walk_peek(&p->replay, &p->view, MIN(max_pages, p->replay_left_pages), 0, true);
        if (p->replay.phase != HINT_PHASE_T3 && p->demand.nr > 0)
                x.nr_pages = 0;
        return x;
}

/* Reads go out in batches: with one for each that came back, the device is told of each. */
static bool must_gather(const struct pager *p)
{
        return nr_ahead(p) + MIN(p->depth.now / 4, (uint32_t)REPLAY_COLD_EXTENTS) > p->depth.now;
}

/* Pages that were installed or are being read are passed by the walk itself. */
static bool replay_step(struct pager *p, uint64_t now)
{
        uint64_t pages = 0;

        if (must_gather(p))
                return false;
        for (int n = 0; n < REPLAY_COLD_EXTENTS && pages < REPLAY_PAGES && !pager_must_end(p);) {
                size_t        flying = nr_ahead(p);
                struct extent x = next_hints(p, REPLAY_PAGES - pages, now);
                uint64_t      got = x.nr_pages ? bring(p, &x, p->depth.now, FAULT_REPLAY) : 0;

                n += nr_ahead(p) > flying ? 1 : REPLAY_COLD_EXTENTS / REPLAY_EXTENTS;

                if (got == 0)
                        break;
                note_cold(p, &x);
                pages += got;
                if (p->replay_left_pages != UINT64_MAX) /* chunks and 2 MiB pages bring more than was asked for */
                        p->replay_left_pages -= MIN(got, p->replay_left_pages);
        }
        return pages > 0;
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

/* Zero pages are left to the end (leave_zeros of serve.c): whoever touches one before is answered. Where memory is shared or huge
 * they are brought. */
static bool pass_zeros(struct pager *p, const struct extent *x)
{
        if (x->nr_pages == 0 || x->run->kind != RUN_ZERO || !p->in.ops->anonymous)
                return false;
        fill_pass(&p->fill, x->run->first_page + x->run->nr_pages);
        return true;
}

/* Up to max_pages in a few extents: what hints and faults have left is full of holes. */
static bool fill_batch(struct pager *p, uint64_t max_pages, size_t max_slots)
{
        uint64_t pages = 0, got;

        for (int n = 0; n < FILL_EXTENTS && pages < max_pages && !pager_must_end(p); n++) {
                struct extent x;

                do {
                        x = fill_peek(&p->fill, &p->view, max_pages - pages);
                        if ((x.nr_pages > 0 || stage_is_busy(&p->stage)) && stage_step(p, x.first_page, max_pages - pages))
                                return true;
                } while (pass_zeros(p, &x));
                x.nr_pages = MIN(x.nr_pages, STAGE_PAGES - x.first_page % STAGE_PAGES); /* the next 2 MiB may be for staging */
                got = x.nr_pages ? bring(p, &x, max_slots, FAULT_FILL) : 0;
                if (got == 0)
                        break;
                pages += got;
        }
        return pages > 0;
}

static size_t max_fill_reads(const struct fill_times *t)
{
        return t->entered_ns ? FILL_SLOTS : FILL_PAUSED_SLOTS;
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
        if (!fill_batch(p, full && !t.entered_ns ? FILL_FULL_PAGES : FILL_POLITE_PAGES, full ? max_fill_reads(&t) : FILL_POLITE_SLOTS))
                return false;
        p->last_batch_ns = now;
        return true;
}

static bool replay(struct pager *p, uint64_t now)
{
        bool asked;

        if (p->replay_end_ns == 0)
                p->replay_end_ns = p->c.replay_budget_ns ? now + p->c.replay_budget_ns : UINT64_MAX;
        asked = ahead_step(p);
        return replay_step(p, now) || asked;
}

bool pager_prefetch(struct pager *p, uint64_t now, uint64_t *ret_when_ns)
{
        *ret_when_ns = UINT64_MAX;
        if (p->settled)
                return false;
        if (!hint_walk_is_over(&p->replay)) {
                if (replay(p, now))
                        return true;
                if (!hint_walk_is_over(&p->replay)) {
                        *ret_when_ns = p->replay_end_ns;
                        return false;
                }
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
