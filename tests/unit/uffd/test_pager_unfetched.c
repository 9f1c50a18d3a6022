/* test_pager_unfetched: which pages never came, as whoever saves a VM that is still being restored must know. */
#include "tests/unit/uffd/rig.h"

static bool is_unfetched(const struct rig *g, uint64_t page)
{
        uint64_t bits = 0;

        pager_unfetched(g->p, page, 1, &bits);
        return bits;
}

Test(pager_unfetched, only_what_nobody_brought_removed_or_lost_counts)
{
        struct rig *g = rig_new(64, RIG_TMPFS);
        uint64_t    bits[1] = { 0 };

        g->c.around_pages = 1;
        rig_start(g);
        pager_unfetched(g->p, 0, 64, bits);
        cr_assert_eq(bits[0], UINT64_MAX);
        cr_assert(rig_page_equal(g, 5));
        cr_assert_eq(madvise(g->ram + pages_to_bytes(9), PAGE_BYTES, MADV_DONTNEED), 0);
        rig_await(!is_unfetched(g, 5) && !is_unfetched(g, 9));
        cr_assert(is_unfetched(g, 4) && is_unfetched(g, 6) && is_unfetched(g, 8) && is_unfetched(g, 10));
        pager_hurry(g->p);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        bits[0] = 0;
        pager_unfetched(g->p, 0, 64, bits);
        cr_assert_eq(bits[0], 0);
        rig_free(g);
}

Test(pager_unfetched, a_lost_page_is_not_taken_for_one_that_nobody_asked_for)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(63)), 0);
        rig_start(g);
        cr_assert(is_unfetched(g, 63));
        pager_hurry(g->p);
        cr_assert_eq(pager_wait(g->p, 10000), -EIO);
        cr_assert_not(is_unfetched(g, 63));
        rig_free(g);
}

Test(pager_unfetched, pages_beside_those_that_are_served_are_left_alone)
{
        struct rig        *g = rig_new(64, RIG_TMPFS);
        struct pager_range half = { .first_page = 16, .nr_pages = 16 };
        uint64_t           bits[1] = { 1 };

        g->c.served = &half;
        g->c.nr_served = 1;
        rig_start(g);
        pager_unfetched(g->p, 0, 64, bits);
        cr_assert_eq(bits[0], 0xffff0001);
        rig_free(g);
}

Test(pager_unfetched, what_was_touched_or_given_back_counts_as_such_once_the_pager_has_caught_up)
{
        struct rig *g = rig_new(1024, RIG_TMPFS);

        rig_start(g);
        for (uint64_t page = 0; page < 1024; page += 2) {
                (void)rig_touch(g, page);
                cr_assert_eq(madvise(g->ram + pages_to_bytes(page + 1), PAGE_BYTES, MADV_DONTNEED), 0);
                cr_assert_eq(pager_catch_up(g->p), 0);
                cr_assert(!is_unfetched(g, page) && !is_unfetched(g, page + 1), "page %llu", (unsigned long long)page);
        }
        rig_free(g);
}

Test(pager_unfetched, nobody_waits_for_a_pager_that_has_ended)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        cr_assert_eq(pager_catch_up(g->p), 0);
        pager_stop(g->p);
        cr_assert_eq(pager_catch_up(g->p), 0);
        rig_free(g);
}
