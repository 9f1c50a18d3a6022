/* core/model/hints_summary.c: one walk over the hints as they are, and one over them sorted by page. */
#include "core/model/hints_summary.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *hint_phase_name(enum hint_phase p)
{
        static const char *const names[HINT_PHASES] = { "until T3", "until T4", "later" };

        return p < HINT_PHASES ? names[p] : "?";
}

void hints_summary_free(struct hints_summary *s)
{
        free(s->seen);
        s->seen = NULL;
}

static void add_hint(struct hints_phase_summary *s, const struct hint *h)
{
        s->first_us = s->pages ? MIN(s->first_us, h->touch_us) : h->touch_us;
        s->last_us = MAX(s->last_us, h->touch_us);
        s->pages++;
        s->zero_pages += (h->flags & HINT_ZERO) != 0;
        s->written += (h->flags & HINT_WRITTEN) != 0;
        s->differs += (h->flags & HINT_DIFFERS) != 0;
}

static int by_page(const void *x, const void *y)
{
        const struct hint *a = x, *b = y;

        return a->page < b->page ? -1 : a->page > b->page;
}

/* v is sorted by page: a page begins a run where the one before it is not of the phase too. */
static void count_runs(const struct hint *v, size_t nr, struct hints_summary *s)
{
        for (size_t i = 0; i < nr; i++) {
                bool neighbour = i > 0 && v[i - 1].page + 1 == v[i].page;

                s->all.runs += !neighbour;
                s->phase[v[i].phase].runs += !neighbour || v[i - 1].phase != v[i].phase;
        }
}

int hints_summary_make(const struct hints *h, struct hints_summary *ret)
{
        _cleanup_free_ struct hint *sorted = calloc(h->nr + 1, sizeof(*sorted));
        struct hints_summary        s = { .seen = calloc((size_t)h->recordings + 1, sizeof(*s.seen)) };

        if (!sorted || !s.seen) {
                free(s.seen);
                return -ENOMEM;
        }
        for (size_t i = 0; i < h->nr; i++) {
                add_hint(&s.phase[h->v[i].phase], &h->v[i]);
                add_hint(&s.all, &h->v[i]);
                s.seen[h->v[i].seen]++;
                s.kept += h->v[i].seen >= hints_min_seen(h);
        }
        if (h->nr)
                memcpy(sorted, h->v, h->nr * sizeof(*sorted));
        qsort(sorted, h->nr, sizeof(*sorted), by_page);
        count_runs(sorted, h->nr, &s);
        *ret = s;
        return 0;
}
