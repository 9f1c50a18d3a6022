/* The log of the pager: each page that came, once, in order of time, with the class that it counts in. */
#include "tests/unit/uffd/rig.h"
#include "uffd/timeline.h"

#define N 2048

static struct rig *new_logged(void)
{
        struct rig *g = rig_new(N, RIG_TMPFS);

        g->c.timeline = true;
        return g;
}

/* Holds the log against the pager's counters; after its end. */
static void assert_is_the_account(struct rig *g, uint64_t began_ns)
{
        const struct pager_arrival *v;
        uint64_t                    dropped = 1, pages[FAULT_CLASSES] = { 0 }, last = began_ns;
        uint8_t                    *seen = calloc(1, g->nr_pages);
        struct pager_stats          s;
        size_t                      nr;

        cr_assert(pager_stop(g->p));
        s = rig_stats(g);
        nr = pager_timeline(g->p, &v, &dropped);
        cr_assert_gt(nr, 0);
        cr_assert_eq(dropped, 0);
        for (size_t i = 0; i < nr; i++) {
                cr_assert_geq(v[i].ns, last, "entry %zu", i);
                last = v[i].ns;
                pages[v[i].why] += v[i].nr_pages;
                for (uint64_t page = v[i].first_page; page < v[i].first_page + v[i].nr_pages; page++)
                        cr_assert_eq(seen[page]++, 0, "page %llu stands there twice", (unsigned long long)page);
        }
        cr_assert_leq(last, now_ns());
        for (int c = 0; c < FAULT_CLASSES; c++)
                cr_assert_eq(pages[c], s.faults[c], "class %d: logged %llu, counted %llu", c, (unsigned long long)pages[c],
                             (unsigned long long)s.faults[c]);
        free(seen);
}

Test(timeline, every_page_stands_there_once_as_it_was_counted)
{
        struct rig *g = new_logged();
        uint64_t    began_ns = now_ns();

        g->c.fill = true;
        rig_cut_zero_run(g, 512, 100);
        rig_start(g);
        rig_assert_all_equal(g);
        pager_hurry(g->p);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        assert_is_the_account(g, began_ns);
        cr_assert_gt(rig_stats(g).faults[FAULT_DEMAND], 0);
        cr_assert_gt(rig_stats(g).faults[FAULT_ZERO], 100);
        rig_free(g);
}

Test(timeline, pages_that_are_moved_stand_there_too_and_zeros_among_them_as_such)
{
        struct rig *g = new_logged();
        uint64_t    began_ns = now_ns();

        if (!g->caps.uffd_move)
                need_lacks("UFFDIO_MOVE", ENOSYS);
        for (uint64_t page = 0; page < N; page++) /* few enough zeros */
                if (rig_page_is_zero(page) && page % 100 != 3)
                        memset(g->model + pages_to_bytes(page), 1, PAGE_BYTES);
        cr_assert_eq(pwrite(g->fd, g->model, pages_to_bytes(N), 0), (ssize_t)pages_to_bytes(N));
        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        assert_is_the_account(g, began_ns);
        cr_assert_eq(rig_stats(g).moved_bytes, pages_to_bytes(N));
        cr_assert_gt(rig_stats(g).faults[FAULT_ZERO], 0);
        rig_free(g);
}

Test(timeline, neighbours_that_come_together_are_one_entry)
{
        struct rig                 *g = new_logged();
        const struct pager_arrival *v;
        uint64_t                    dropped, pages[] = { 700, 701, 702, 703 };
        size_t                      nr;

        for (size_t i = 0; i < ARRAY_LEN(pages); i++) { /* no zeros */
                memset(g->model + pages_to_bytes(pages[i]), 1, PAGE_BYTES);
                cr_assert_eq(pwrite(g->fd, g->model + pages_to_bytes(pages[i]), PAGE_BYTES, (off_t)pages_to_bytes(pages[i])),
                             (ssize_t)PAGE_BYTES);
        }
        rig_replay(g, pages, ARRAY_LEN(pages));
        rig_start(g);
        rig_await(g->replayed == 1);
        cr_assert(pager_stop(g->p));
        nr = pager_timeline(g->p, &v, &dropped);
        cr_assert_eq(nr, 1, "%zu entries", nr);
        cr_assert_eq(v[0].first_page, 700);
        cr_assert_eq(v[0].nr_pages, 4);
        cr_assert_eq(v[0].why, FAULT_REPLAY);
        rig_free(g);
}

Test(timeline, a_page_that_was_given_back_and_is_touched_again_comes_once_more_as_zero)
{
        struct rig                 *g = new_logged();
        const struct pager_arrival *v;
        uint64_t                    dropped;
        size_t                      nr;

        rig_start(g);
        cr_assert(rig_page_equal(g, 5));
        cr_assert_eq(madvise(g->ram + pages_to_bytes(5), PAGE_BYTES, MADV_DONTNEED), 0);
        cr_assert_eq(rig_touch(g, 5), 0);
        cr_assert(pager_stop(g->p));
        nr = pager_timeline(g->p, &v, &dropped);
        cr_assert_eq(nr, 2);
        cr_assert_eq(v[1].first_page, 5);
        cr_assert_eq(v[1].why, FAULT_ZERO);
        rig_free(g);
}

Test(timeline, nobody_asked_and_nothing_is_logged)
{
        struct rig                 *g = new_logged();
        const struct pager_arrival *v;
        uint64_t                    dropped;

        g->c.timeline = false;
        rig_start(g);
        cr_assert(rig_page_equal(g, 5));
        cr_assert(pager_stop(g->p));
        cr_assert_eq(pager_timeline(g->p, &v, &dropped), 0);
        rig_free(g);
}

Test(timeline, when_it_is_full_it_counts_what_it_drops_and_keeps_what_it_has)
{
        struct timeline             t;
        const struct pager_arrival *v;
        uint64_t                    dropped;

        cr_assert_eq(timeline_init(&t, 2), 0);
        timeline_add(&t, 10, 100, 1, FAULT_FILL);
        timeline_add(&t, 11, 200, 1, FAULT_FILL);
        timeline_add(&t, 12, 300, 16, FAULT_FILL);
        timeline_add(&t, 11, 201, 1, FAULT_FILL); /* goes on with the last entry */
        cr_assert_eq(timeline_get(&t, &v, &dropped), 2);
        cr_assert_eq(dropped, 16);
        cr_assert_eq(v[0].first_page, 100);
        cr_assert_eq(v[1].nr_pages, 2);
        timeline_free(&t);
}
