/* Decides, from the page map alone, which ranges of RAM are worth a userfaultfd. */
#include "core/plan.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

void plan_row(struct ledger *l, const char *mechanism, uint64_t runs, uint64_t pages, const char *why)
{
        if (l->nr_plan < LEDGER_PLAN_MAX && runs > 0)
                l->plan[l->nr_plan++] = (struct ledger_plan_row){mechanism, runs, pages_to_bytes(pages), why};
}

/* Joins runs of data that are at most gap_pages of zeros apart. ret may be NULL: only count.
 *
 *   raw   zero  raw      zero          raw          gap_pages = 2:
 *   ####  ..    ####     .........     ####    ->   ##########           ####
 */
static size_t join_runs(const struct page_map *map, uint64_t gap_pages, struct pager_range *ret)
{
        uint64_t end = 0;
        size_t nr = 0;

        for (size_t i = 0; i < map->nr_runs; i++) {
                const struct page_run *run = &map->runs[i];

                if (run->kind == RUN_ZERO)
                        continue;
                if (nr == 0 || run->first_page - end > gap_pages) {
                        if (ret)
                                ret[nr] = (struct pager_range){.first_page = run->first_page};
                        nr++;
                }
                end = run->first_page + run->nr_pages;
                if (ret)
                        ret[nr - 1].nr_pages = end - ret[nr - 1].first_page;
        }
        return nr;
}

static void add_rows(const struct page_map *map, const struct pager_range *v, size_t nr, struct ledger *l)
{
        uint64_t served = 0;

        for (size_t i = 0; i < nr; i++)
                served += v[i].nr_pages;
        plan_row(l, "copy", nr, served, map->zeros_known ? "data, served by userfaultfd" : "not indexed yet: zero pages are found when they are fetched");
        plan_row(l, "anon", map->nr_pages > served ? nr + 1 : 0, map->nr_pages - served, "zeros, left to the kernel");
}

int plan_served(const struct page_map *map, bool all, struct pager_range **ret, size_t *ret_nr, struct ledger *ledger)
{
        uint64_t gap_pages = 0;
        struct pager_range *v;
        size_t nr;

        /* A range costs two splits of a mapping and a registration, some 3 us: 256 of them stay below 1 ms. */
        while ((nr = join_runs(map, gap_pages, NULL)) > PLAN_RANGES_MAX)
                gap_pages = gap_pages ? gap_pages * 2 : 1;
        v = calloc(nr + 1, sizeof(*v));
        if (!v)
                return -ENOMEM;
        if (all) {
                v[0] = (struct pager_range){.nr_pages = map->nr_pages};
                nr = 1;
        } else {
                join_runs(map, gap_pages, v);
        }
        add_rows(map, v, nr, ledger);
        *ret = v;
        *ret_nr = nr;
        return 0;
}

void plan_replay(struct hints *h, struct hint **ret, size_t *ret_nr)
{
        *ret = TAKE_PTR(h->v);
        *ret_nr = h->nr;
        h->nr = 0;
}
