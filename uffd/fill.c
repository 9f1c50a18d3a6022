/* uffd/fill.c: the rest of RAM in order of page, politely while the guest starts up. */
#include "uffd/fill.h"

static bool is_polite(const struct fill_times *t, uint64_t now_ns)
{
        if (t->hurried || (t->paused && !t->entered_ns))
                return false;
        if (t->spoke_ns)
                return now_ns < t->spoke_ns + FILL_POLITE_AFTER_T3;
        return !t->entered_ns || now_ns < t->entered_ns + FILL_POLITE_AFTER_T2;
}

uint64_t fill_when_ns(const struct fill_times *t, uint64_t now_ns)
{
        if (!t->on && !t->hurried)
                return UINT64_MAX;
        if (!is_polite(t, now_ns))
                return 0;
        if (t->spare_cpu && t->spoke_ns)
                return now_ns >= t->last_fault_ns + FILL_POLITE_QUIET_NS ? 0 : t->last_fault_ns + FILL_POLITE_QUIET_NS;
        return MAX(t->last_batch_ns + FILL_POLITE_EVERY_NS, t->last_fault_ns + FILL_POLITE_QUIET_NS);
}

/* Goes to the first absent page at or after the cursor; false past the last range. */
static bool find_absent(struct fill *f, const struct replay_view *v)
{
        for (; f->range < v->served.nr; f->range++) {
                const struct pager_range *r = &v->served.v[f->range];
                uint64_t                  end = r->first_page + r->nr_pages;

                f->page = page_states_next_absent(v->states, MAX(f->page, r->first_page), end);
                if (f->page < end)
                        return true;
        }
        return false;
}

struct extent fill_peek(struct fill *f, const struct replay_view *v, uint64_t max_pages)
{
        const struct pager_range *r;
        const struct page_run    *run;
        struct extent             x = { 0 };
        uint64_t                  end;

        if (!find_absent(f, v))
                return x;
        r = &v->served.v[f->range];
        run = page_map_find(v->map, f->page);
        end = MIN(MIN(r->first_page + r->nr_pages, run->first_page + run->nr_pages), f->page + max_pages);
        end = page_states_end_of_absent(v->states, f->page, end);
        return (struct extent){ .run = run, .first_page = f->page, .nr_pages = end - f->page };
}
