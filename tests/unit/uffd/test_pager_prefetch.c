/* Replay, fill and record: what is brought ahead, when, and when it is over. */
#include "tests/unit/uffd/rig.h"

static void assert_only_these_are_resident(const struct rig *g, const uint64_t *pages, size_t nr)
{
        for (uint64_t page = 0; page < g->nr_pages; page++) {
                bool listed = false;

                for (size_t i = 0; i < nr; i++)
                        listed = listed || pages[i] == page;
                cr_assert_eq(rig_is_resident(g, page), listed, "page %llu", (unsigned long long)page);
        }
}

static const uint64_t hints[] = { 90, 17, 18, 3, 19, 120, 17, 60, 61, 62 };

Test(pager_replay, the_hints_become_resident_and_nothing_else)
{
        struct rig *g = rig_new(128, RIG_TMPFS);

        rig_replay(g, hints, ARRAY_LEN(hints));
        rig_start(g);
        rig_await(g->replayed == 1);
        assert_only_these_are_resident(g, hints, ARRAY_LEN(hints));
        cr_assert_eq(rig_stats(g).faults[FAULT_REPLAY] + rig_stats(g).faults[FAULT_ZERO], 9);
        rig_assert_all_equal(g);
        cr_assert_eq(g->replayed, 1);
        rig_free(g);
}

Test(pager_replay, cold_hints_are_read_at_depth_and_are_all_there_when_it_is_told)
{
        struct rig *g = rig_new(4096, RIG_DISK);
        uint64_t    scattered[600];

        for (size_t i = 0; i < ARRAY_LEN(scattered); i++)
                scattered[i] = i * 7919 % 4096;
        rig_replay(g, scattered, ARRAY_LEN(scattered));
        rig_evict(g);
        rig_start(g);
        rig_await(g->replayed == 1);
        assert_only_these_are_resident(g, scattered, ARRAY_LEN(scattered));
        cr_assert_gt(rig_stats(g).cold_reads, 0);
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_replay, without_io_uring_cold_hints_come_all_the_same)
{
        struct rig *g = rig_new(1024, RIG_DISK);
        uint64_t    scattered[100];

        for (size_t i = 0; i < ARRAY_LEN(scattered); i++)
                scattered[i] = i * 7;
        rig_replay(g, scattered, ARRAY_LEN(scattered));
        g->caps.io_uring = false;
        rig_evict(g);
        rig_start(g);
        rig_await(g->replayed == 1);
        assert_only_these_are_resident(g, scattered, ARRAY_LEN(scattered));
        rig_free(g);
}

Test(pager_replay, hints_that_are_zero_unserved_or_past_the_end_are_skipped)
{
        struct rig              *g = rig_new(128, RIG_TMPFS);
        const struct pager_range low = { 0, 64 };
        const uint64_t           odd[] = { 20, 100, UINT32_MAX, 1, 128 };
        const uint64_t           good[] = { 1 };

        rig_cut_zero_run(g, 16, 16);
        g->c.served = &low;
        rig_replay(g, odd, ARRAY_LEN(odd));
        rig_start(g);
        rig_await(g->replayed == 1);
        assert_only_these_are_resident(g, good, 1);
        rig_free(g);
}

Test(pager_replay, a_truncated_hint_is_lost_and_replay_ends)
{
        struct rig *g = rig_new(128, RIG_TMPFS);

        rig_replay(g, hints, ARRAY_LEN(hints));
        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(100)), 0);
        rig_start(g);
        rig_await(g->replayed == 1);
        cr_assert_eq(g->lost, 1);
        cr_assert_eq(g->last_lost_page, 120);
        cr_assert_eq(g->lost_demanded, 0);
        rig_free(g);
}

Test(pager_fill, a_paused_vm_is_filled_at_once_and_the_thread_is_gone)
{
        struct rig *g = rig_new(2048, RIG_TMPFS);
        uint64_t    start_ns = now_ns();

        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        cr_assert_lt(now_ns() - start_ns, NS_PER_S);
        cr_assert_eq(g->done, 1);
        cr_assert_eq(rig_stats(g).resident_pages, 2048);
        cr_assert_eq(rig_stats(g).messages, 0);
        rig_await(!rig_has_pager_thread());
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_fill, after_done_the_ranges_are_unregistered)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        /* a page that is dropped now is the kernel's zero: nobody is asked, and nobody hangs */
        cr_assert_eq(madvise(g->ram, PAGE_BYTES, MADV_DONTNEED), 0);
        cr_assert_eq(rig_touch(g, 0), 0);
        rig_free(g);
}

Test(pager_fill, a_cold_file_is_filled_through_the_ring)
{
        struct rig *g = rig_new(4096, RIG_DISK);

        g->c.fill = g->c.paused = true;
        rig_evict(g);
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 20000), 0);
        cr_assert_gt(rig_stats(g).cold_reads, 0);
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_fill, a_zero_page_that_the_fill_left_is_answered_while_the_rest_is_not_there)
{
        struct rig *g = rig_new(1024, RIG_TMPFS);
        int         pipe_fds[2];

        need_io_uring();
        cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
        rig_cut_zero_run(g, 100, 700);
        g->map.zeros_known = true;
        g->c.fill = g->c.paused = true;
        g->faults = (struct pager_faults){ .nothing_cached = true, .silent_read = 1, .silent_reads = 1000,
                                           .silent_fd = pipe_fds[0] };
        rig_start(g);
        rig_await(rig_stats(g).cold_reads > 0);
        cr_assert(rig_page_equal(g, 400));
        rig_await(rig_stats(g).faults[FAULT_ZERO] == 1);
        cr_assert_eq(pager_wait(g->p, 0), -ETIMEDOUT);
        rig_free(g);
}

Test(pager_fill, zero_runs_are_filled_too)
{
        struct rig *g = rig_new(1024, RIG_TMPFS);

        rig_cut_zero_run(g, 100, 700);
        g->map.zeros_known = true;
        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        cr_assert_eq(rig_stats(g).faults[FAULT_ZERO], 700);
        cr_assert_eq(rig_stats(g).read_bytes, pages_to_bytes(324));
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_fill, it_is_polite_until_two_seconds_after_the_guest_spoke)
{
        struct rig *g = rig_new(65536, RIG_TMPFS); /* 256 MiB: polite fill takes at least 2 s for it */
        uint64_t    polite;

        g->c.fill = true;
        rig_start(g);
        pager_guest_entered(g->p, now_ns());
        pager_guest_spoke(g->p, now_ns());
        rig_sleep_ms(200);
        polite = rig_stats(g).resident_pages;
        cr_assert_gt(polite, 64);
        cr_assert_leq(polite, 64 * 125); /* one batch each 2 ms, in 250 ms */
        pager_guest_spoke(g->p, now_ns() - 3 * NS_PER_S);
        cr_assert_eq(pager_wait(g->p, 5000), 0);
        rig_free(g);
}

Test(pager_fill, off_brings_nothing_until_it_is_hurried)
{
        struct rig *g = rig_new(512, RIG_TMPFS);

        rig_start(g);
        pager_guest_entered(g->p, now_ns() - 100 * NS_PER_S);
        rig_sleep_ms(50);
        cr_assert_eq(rig_stats(g).resident_pages, 0);
        pager_hurry(g->p);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        cr_assert_eq(rig_stats(g).faults[FAULT_FILL] + rig_stats(g).faults[FAULT_ZERO], 512);
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_fill, nothing_to_serve_is_done_at_once)
{
        struct rig *g = rig_new(16, RIG_TMPFS);

        g->c.nr_served = 0;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        cr_assert_eq(g->replayed, 0);
        rig_free(g);
}

Test(pager_fill, a_fault_is_answered_while_a_full_fill_runs)
{
        struct rig *g = rig_new(32768, RIG_TMPFS);
        uint64_t    start_ns, took_ns, worst_ns = 0;

        g->c.fill = g->c.paused = true;
        rig_start(g);
        for (uint64_t page = g->nr_pages - 1; page > g->nr_pages - 50; page--) {
                start_ns = now_ns();
                cr_assert(rig_page_equal(g, page));
                took_ns = now_ns() - start_ns;
                worst_ns = MAX(worst_ns, took_ns);
        }
        cr_assert_lt(worst_ns, 50 * NS_PER_MS, "%llu us", (unsigned long long)(worst_ns / 1000));
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        rig_free(g);
}

static const uint64_t touches[] = { 9, 3, 40, 9, 41, 0, 3, 63, 17 };

Test(pager_record, it_holds_each_touched_page_once_in_order)
{
        struct rig     *g = rig_new(64, RIG_TMPFS);
        const uint64_t  expect[] = { 9, 3, 40, 41, 0, 63, 17 };
        const struct pager_touch *got;

        g->c.record = true;
        g->c.around_pages = 16; /* must not matter while recording */
        g->c.fill = true;
        rig_replay(g, hints, 3);
        rig_cut_zero_run(g, 16, 8); /* 17 is a zero page, and recorded like the others */
        rig_start(g);
        for (size_t i = 0; i < ARRAY_LEN(touches); i++)
                cr_assert(rig_page_equal(g, touches[i]));
        rig_await(rig_stats(g).resident_pages == ARRAY_LEN(expect));
        pager_end_record(g->p);
        cr_assert_eq(pager_recorded(g->p, &got), ARRAY_LEN(expect));
        for (size_t i = 0; i < ARRAY_LEN(expect); i++)
                cr_assert_eq(got[i].page, expect[i]);
        cr_assert_eq(g->replayed, 0);
        rig_free(g);
}

Test(pager_record, its_end_begins_the_fill)
{
        struct rig     *g = rig_new(64, RIG_TMPFS);
        const struct pager_touch *got;

        g->c.record = g->c.fill = g->c.paused = true;
        rig_start(g);
        rig_touch(g, 7);
        rig_sleep_ms(20);
        rig_await(rig_stats(g).resident_pages == 1);
        pager_end_record(g->p);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        cr_assert_eq(pager_recorded(g->p, &got), 1);
        cr_assert_eq(got[0].page, 7);
        rig_free(g);
}

Test(pager_record, without_it_nothing_was_recorded)
{
        struct rig     *g = rig_new(64, RIG_TMPFS);
        const struct pager_touch *got;

        rig_start(g);
        rig_touch(g, 7);
        pager_stop(g->p);
        cr_assert_eq(pager_recorded(g->p, &got), 0);
        rig_free(g);
}
