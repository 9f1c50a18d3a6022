/* core/plan: which ranges are served. */
#include "core/plan.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void add(struct page_map *m, enum run_kind kind, uint64_t nr)
{
        uint64_t first = m->nr_runs ? m->runs[m->nr_runs - 1].first_page + m->runs[m->nr_runs - 1].nr_pages : 0;
        struct page_run r = {.first_page = first, .nr_pages = nr, .kind = kind, .file_offset_bytes = kind == RUN_RAW ? pages_to_bytes(first) : 0};

        cr_assert_eq(page_map_append(m, &r), 0);
}

Test(plan, data_is_served_and_zeros_are_left_to_the_kernel)
{
        struct page_map m;
        struct pager_range *v;
        struct ledger l = {0};
        size_t nr;

        page_map_init(&m, 100);
        m.zeros_known = true;
        add(&m, RUN_ZERO, 10);
        add(&m, RUN_RAW, 5);
        add(&m, RUN_ZERO, 1);
        add(&m, RUN_RAW, 4);
        add(&m, RUN_ZERO, 80);
        cr_assert_eq(plan_served(&m, false, &v, &nr, &l), 0);
        cr_assert_eq(nr, 2);
        cr_expect_eq(v[0].first_page, 10);
        cr_expect_eq(v[0].nr_pages, 5);
        cr_expect_eq(v[1].first_page, 16);
        cr_expect_eq(v[1].nr_pages, 4);
        cr_assert_eq(l.nr_plan, 2);
        cr_expect_str_eq(l.plan[0].mechanism, "copy");
        cr_expect_eq(l.plan[0].bytes, pages_to_bytes(9));
        cr_expect_str_eq(l.plan[1].mechanism, "anon");
        cr_expect_eq(l.plan[1].bytes, pages_to_bytes(91));
        free(v);
        page_map_free(&m);
}

Test(plan, many_runs_are_joined_over_the_shortest_zeros_until_they_fit)
{
        struct page_map m;
        struct pager_range *v;
        struct ledger l = {0};
        size_t nr;

        page_map_init(&m, 1000 * 3 + 100 * 33);
        for (int i = 0; i < 1000; i++) { /* 1000 runs, one or two pages apart */
                add(&m, RUN_RAW, 1);
                add(&m, RUN_ZERO, 2);
        }
        for (int i = 0; i < 100; i++) { /* 100 runs far apart */
                add(&m, RUN_RAW, 1);
                add(&m, RUN_ZERO, 32);
        }
        cr_assert_eq(plan_served(&m, false, &v, &nr, &l), 0);
        cr_expect_leq(nr, PLAN_RANGES_MAX);
        cr_expect_eq(nr, 100, "the thousand are one range with the first of the hundred, found %zu ranges", nr);
        for (size_t i = 1; i < nr; i++)
                cr_expect_gt(v[i].first_page, v[i - 1].first_page + v[i - 1].nr_pages);
        free(v);
        page_map_free(&m);
}

Test(plan, a_recording_sees_all_of_ram)
{
        struct page_map m;
        struct pager_range *v;
        struct ledger l = {0};
        size_t nr;

        page_map_init(&m, 50);
        add(&m, RUN_ZERO, 20);
        add(&m, RUN_RAW, 30);
        cr_assert_eq(plan_served(&m, true, &v, &nr, &l), 0);
        cr_assert_eq(nr, 1);
        cr_expect_eq(v[0].first_page, 0);
        cr_expect_eq(v[0].nr_pages, 50);
        free(v);
        page_map_free(&m);
}

Test(plan, ram_of_zeros_alone_has_nothing_to_serve)
{
        struct page_map m;
        struct pager_range *v;
        struct ledger l = {0};
        size_t nr;

        page_map_init(&m, 50);
        add(&m, RUN_ZERO, 50);
        cr_assert_eq(plan_served(&m, false, &v, &nr, &l), 0);
        cr_expect_eq(nr, 0);
        free(v);
        page_map_free(&m);
}
