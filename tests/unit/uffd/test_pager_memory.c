/* The pager's own memory, while it works: a bound, whatever it does. */
#include "tests/support/own_memory.h"
#include "tests/unit/uffd/rig.h"

#define N 32768 /* 128 MiB */

/* Fills all of RAM; asserts the budget all the time. */
static void fill_within_budget(struct rig *g)
{
        uint64_t bytes = pages_to_bytes(g->nr_pages), before = own_memory_bytes(g->ram, bytes), peak = before;

        g->c.fill = g->c.paused = true;
        rig_start(g);
        while (pager_wait(g->p, 0) == -ETIMEDOUT)
                peak = MAX(peak, own_memory_bytes(g->ram, bytes));
        peak = MAX(peak, own_memory_bytes(g->ram, bytes));
        cr_assert_eq(pager_wait(g->p, 0), 0);
        cr_assert_leq(peak - before, own_memory_budget(g->nr_pages, g->map.nr_runs));
        cr_log_info("%llu KiB", (unsigned long long)((peak - before) / KIB));
}

Test(pager_memory, a_fill_from_the_page_cache_stays_within_the_budget)
{
        struct rig *g = rig_new(N, RIG_TMPFS);

        fill_within_budget(g);
        rig_free(g);
}

Test(pager_memory, a_fill_that_is_moved_stays_within_the_budget)
{
        struct rig *g = rig_new(N, RIG_TMPFS);

        for (uint64_t page = 0; page < N; page++)
                if (rig_page_is_zero(page))
                        cr_assert_eq(pwrite(g->fd, &page, sizeof(page), (off_t)pages_to_bytes(page)), (ssize_t)sizeof(page));
        fill_within_budget(g);
        rig_free(g);
}

Test(pager_memory, a_fill_from_a_cold_disk_stays_within_the_budget)
{
        struct rig *g = rig_new(N, RIG_DISK);

        rig_evict(g);
        fill_within_budget(g);
        rig_free(g);
}

/* Every other page is touched, in an order that tells nothing, and every fourth given back. */
Test(pager_memory, faults_and_discards_stay_within_the_budget)
{
        struct rig *g = rig_new(N, RIG_TMPFS);
        uint64_t    bytes = pages_to_bytes(N), before = own_memory_bytes(g->ram, bytes);

        g->c.around_pages = 16;
        rig_start(g);
        for (uint64_t i = 0; i < N / 2; i++)
                (void)rig_touch(g, i * 7919 % N);
        for (uint64_t page = 0; page < N; page += 4)
                cr_assert_eq(madvise(g->ram + pages_to_bytes(page), PAGE_BYTES, MADV_DONTNEED), 0);
        cr_assert_leq(own_memory_bytes(g->ram, bytes) - before, own_memory_budget(N, g->map.nr_runs));
        rig_free(g);
}
