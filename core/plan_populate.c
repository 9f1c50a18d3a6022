/* Which hinted pages the kernel is asked for ahead of the guest: those of mapped runs, and zeros that it will write.
 *
 * They stay in the mapping. bench/plan_costs: MADV_POPULATE_WRITE costs 3.9 us for a page alone and 2.2 in a row of 16; an
 * anonymous mapping in its place that is then read 12 and 3.2, and it splits the mapping. A page that is only read is left the
 * page cache's:
 * MADV_POPULATE_READ costs 6.6 us alone, 0.5 in a row of 16, and no memory. Huge pages are another matter: plan_prefill.c.
 *
 * Nothing is asked for where the pager serves, zeros between data among it: it takes what nobody asked it for as never fetched,
 * so a snapshot over a base would leave the guest's writes there to the base; and of RAM in 2 MiB pages one zero page brings the
 * data around it, as zeros. */
#include "core/plan_internal.h"

#include "core/page_ranges.h"

#include <errno.h>
#include <stdlib.h>

/* Recordings of before there were flags have none at all: then every page counts as written, which is never wrong, only
 * dearer. */
static bool flags_are_known(const struct hints *h)
{
        uint8_t any = 0;

        for (size_t i = 0; i < h->nr; i++)
                any |= h->v[i].flags;
        return any;
}

static bool is_served(const struct plan *plan, uint64_t page)
{
        size_t i = page_ranges_past(plan->served, plan->nr_served, page);

        return i < plan->nr_served && plan->served[i].first_page <= page;
}

static bool is_wanted(const struct plan_pieces *pieces, const struct plan *plan, const struct hint *h)
{
        const struct plan_piece *p = plan_piece_find(pieces, h->page);

        if (!p)
                return false;
        return p->mechanism == PLAN_MAP || (p->mechanism == PLAN_ANON && h->flags & HINT_WRITTEN && !is_served(plan, h->page));
}

static int by_phase_and_page(const void *a, const void *b)
{
        const struct plan_extent *x = a, *y = b;

        if (x->phase != y->phase)
                return x->phase < y->phase ? -1 : 1;
        return (x->first_page > y->first_page) - (x->first_page < y->first_page);
}

/* Neighbours of one phase and kind, and of one piece, become one call. */
static size_t join(const struct plan_pieces *pieces, struct plan_extent *v, size_t nr)
{
        size_t out = 0;

        for (size_t i = 0; i < nr; i++) {
                struct plan_extent *last = out ? &v[out - 1] : NULL;

                if (last && last->phase == v[i].phase && last->write == v[i].write &&
                    last->first_page + last->nr_pages == v[i].first_page &&
                    plan_piece_find(pieces, last->first_page) == plan_piece_find(pieces, v[i].first_page))
                        last->nr_pages += v[i].nr_pages;
                else
                        v[out++] = v[i];
        }
        return out;
}

int plan_choose_populate(const struct plan_request *q, const struct plan_pieces *pieces, struct plan *p)
{
        const struct hints *h = q->hints;
        bool known = flags_are_known(h);
        struct plan_extent *v;
        size_t nr = 0;

        if (q->mode != RESTORE_AUTO || q->record || !h->nr)
                return 0;
        v = calloc(h->nr, sizeof(*v));
        if (!v)
                return -ENOMEM;
        for (size_t i = 0; i < h->nr; i++)
                if (is_wanted(pieces, p, &h->v[i]))
                        v[nr++] = (struct plan_extent){.first_page = h->v[i].page, .nr_pages = 1, .phase = h->v[i].phase,
                                                       .write = !known || h->v[i].flags & (HINT_WRITTEN | HINT_DIFFERS)};
        qsort(v, nr, sizeof(*v), by_phase_and_page);
        p->nr_populate = join(pieces, v, nr);
        p->populate = v;
        return 0;
}
