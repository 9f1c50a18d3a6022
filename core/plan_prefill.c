/* Which 2 MiB ranges are read completely into huge pages before anything is registered: those where that is the faster way to T3.
 *
 * Against a huge page stand the bytes that nobody asked for; for it, that every hinted page saves a copy of its own and the fault
 * that KVM takes for each 4 KiB page, resident or not.
 *
 *   range        |hhhh.hh.hhhh....|   512 pages, of which n have bytes, h are hinted until T3 (z of these are zeros)
 *   huge page    alloc + n * read                    + one KVM fault
 *   page by page (h - z) * install + z * zero        + h KVM faults            cold: each side also pays its reads from the disk */
#include "core/plan_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HUGE_PAGES (HUGE_PAGE_BYTES / PAGE_BYTES)

struct density {
        uint16_t hinted, hinted_zero;
};

static double huge_us(const struct plan_request *q, uint64_t data_pages)
{
        double disk = q->facts->cold ? COST_DISK_SEQUENCE_US : 0;

        return COST_HUGE_ALLOC_US + (double)data_pages * (COST_HUGE_READ_US + disk) + COST_KVM_FAULT_US;
}

static double single_us(const struct plan_request *q, const struct density *d)
{
        double disk = q->facts->cold ? COST_DISK_RANDOM_US : 0, data = d->hinted - d->hinted_zero;

        return data * (COST_INSTALL_US + disk) + d->hinted_zero * COST_ZERO_US + d->hinted * COST_KVM_FAULT_US;
}

static uint64_t data_pages_in(const struct page_map *map, uint64_t first, uint64_t end)
{
        const struct page_run *run = page_map_find(map, first);
        uint64_t nr = 0;

        for (; run < map->runs + map->nr_runs && run->first_page < end; run++)
                if (run->kind != RUN_ZERO)
                        nr += MIN(end, run->first_page + run->nr_pages) - MAX(first, run->first_page);
        return nr;
}

/* Hints of the first phase only: later ones do not hold the first answer up, and would if they were read before it. */
static void count_hints(const struct plan_request *q, struct density *v)
{
        for (size_t i = 0; i < q->hints->nr; i++) {
                const struct hint *h = &q->hints->v[i];
                struct density *d = &v[h->page / HUGE_PAGES];
                const struct page_run *run;

                if (h->phase != HINT_PHASE_T3 || d->hinted == HUGE_PAGES)
                        continue;
                run = page_map_find(q->map, h->page);
                d->hinted++;
                d->hinted_zero += run && run->kind == RUN_ZERO;
        }
}

/* --- cutting the pieces --- */

static void put(struct plan_pieces *to, struct plan_piece piece)
{
        if (piece.nr_pages)
                to->v[to->nr++] = piece;
}

/* Lays the ranges (chosen: one bool per 2 MiB of RAM) over the pieces. */
static void cut(const struct plan_pieces *from, const bool *chosen, struct plan_pieces *to)
{
        for (size_t i = 0; i < from->nr; i++) {
                struct plan_piece rest = from->v[i];

                while (rest.nr_pages) {
                        uint64_t huge = rest.first_page / HUGE_PAGES, end = rest.first_page + rest.nr_pages, stop;
                        struct plan_piece head = rest;

                        if (chosen[huge]) {
                                stop = (huge + 1) * HUGE_PAGES;
                                if (rest.first_page == huge * HUGE_PAGES) /* one piece a range, whatever lies in it */
                                        put(to, (struct plan_piece){.first_page = rest.first_page, .nr_pages = HUGE_PAGES, .mechanism = PLAN_PREFILL,
                                                                    .why = "densely hinted: read whole into huge pages before the guest runs"});
                        } else {
                                while (huge * HUGE_PAGES < end && !chosen[huge])
                                        huge++;
                                stop = huge * HUGE_PAGES;
                                head.nr_pages = MIN(stop, end) - rest.first_page;
                                put(to, head);
                        }
                        stop = MIN(stop, end);
                        rest.nr_pages = end - stop;
                        rest.first_page = stop;
                }
        }
}

static size_t choose(const struct plan_request *q, const struct density *v, size_t nr, bool *ret)
{
        size_t chosen = 0;

        for (size_t i = 0; i < nr; i++) {
                uint64_t first = i * HUGE_PAGES;

                if (!v[i].hinted || single_us(q, &v[i]) <= huge_us(q, data_pages_in(q->map, first, first + HUGE_PAGES)))
                        continue;
                ret[i] = true;
                chosen++;
        }
        return chosen;
}

int plan_choose_prefill(const struct plan_request *q, struct plan_pieces *pieces)
{
        size_t nr = q->map->nr_pages / HUGE_PAGES; /* a tail shorter than a huge page has none */
        struct density *v;
        struct plan_pieces out;
        bool *chosen;
        size_t more;

        if (q->mode != RESTORE_AUTO || q->backing != RAM_ANON || q->record || q->timed || q->no_prefill || !q->facts->huge_pages ||
            !q->hints->nr || !nr)
                return 0;
        v = calloc(nr + 1, sizeof(*v));
        chosen = calloc(nr + 2, sizeof(*chosen));
        if (!v || !chosen) {
                free(v);
                free(chosen);
                return -ENOMEM;
        }
        count_hints(q, v);
        more = choose(q, v, nr, chosen);
        free(v);
        out = (struct plan_pieces){.v = more ? calloc(pieces->nr + 2 * more + 1, sizeof(*out.v)) : NULL};
        if (out.v) {
                cut(pieces, chosen, &out);
                free(pieces->v);
                *pieces = out;
        }
        free(chosen);
        return more && !out.v ? -ENOMEM : 0;
}
