/* Bytes that cannot be had are never zeros: the page is lost, and says so. */
#include "tests/unit/uffd/sigbus.h"

#include <pthread.h>

static void assert_lost(const struct rig *g, uint64_t page, int error)
{
        struct pager_lost l;

        cr_assert(pager_find_lost(g->p, page, &l));
        cr_assert_eq(l.page, page);
        cr_assert_str_eq(l.source, "memory");
        cr_assert_eq(l.file_offset_bytes, pages_to_bytes(page));
        cr_assert_eq(l.error, error);
        rig_await(pager_find_lost(g->p, page, &l) && l.poisoned == (g->caps.uffd_poison && l.demanded));
}

static void need_poison(const struct rig *g)
{
        if (!g->caps.uffd_poison)
                cr_skip_test("this kernel has no UFFDIO_POISON (Linux 6.6)");
}

Test(pager_lost, a_page_behind_the_end_of_the_file_is_sigbus)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        need_poison(g);
        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(32) + 100), 0);
        rig_start(g);
        cr_assert(rig_page_equal(g, 31));
        cr_assert(touch_is_sigbus(g, 32));
        cr_assert(touch_is_sigbus(g, 50));
        cr_assert(touch_is_sigbus(g, 50));
        assert_lost(g, 32, -ENODATA);
        assert_lost(g, 50, -ENODATA);
        rig_await(g->lost == 2);
        cr_assert_eq(g->lost_demanded, 2);
        cr_assert(!pager_find_lost(g->p, 31, NULL));
        cr_assert(!pager_find_lost(g->p, 1ULL << 40, NULL));
        rig_free(g);
}

Test(pager_lost, a_truncated_file_on_disk_that_is_cold_loses_only_what_is_missing)
{
        struct rig *g = rig_new(64, RIG_DISK);

        need_poison(g);
        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(40)), 0);
        g->c.fill = g->c.paused = true;
        rig_evict(g);
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), -EIO);
        cr_assert_eq(rig_stats(g).lost_pages, 24);
        cr_assert_eq(rig_stats(g).resident_pages, 40);
        for (uint64_t page = 0; page < 40; page++)
                cr_assert(rig_page_equal(g, page));
        rig_free(g);
}

Test(pager_lost, a_page_that_was_lost_ahead_is_sigbus_when_it_is_touched_after_done)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        need_poison(g);
        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(63)), 0);
        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), -EIO);
        cr_assert_eq(g->lost, 1);
        cr_assert_eq(g->lost_demanded, 0);
        cr_assert(touch_is_sigbus(g, 63));
        cr_assert(touch_is_sigbus(g, 63));
        cr_assert_eq(g->lost, 2);
        cr_assert_eq(g->lost_demanded, 1);
        rig_free(g);
}

Test(pager_lost, an_io_error_loses_its_page_and_no_other)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        need_poison(g);
        /* the first read (32 pages) and the one of its first page alone */
        g->faults = (struct pager_faults){ .nothing_cached = true, .eio_read = 1, .eio_reads = 2 };
        g->c.fill = g->c.paused = true;
        g->caps.io_uring = false; /* one read at a time: the second is of page 0 */
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), -EIO);
        assert_lost(g, 0, -EIO);
        cr_assert_eq(rig_stats(g).lost_pages, 1);
        cr_assert_eq(rig_stats(g).resident_pages, 63);
        rig_free(g);
}

Test(pager_lost, an_io_error_of_a_batch_that_is_not_repeated_loses_nothing)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        g->faults = (struct pager_faults){ .nothing_cached = true, .eio_read = 2, .eio_reads = 1 };
        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_lost, an_io_error_of_a_demanded_page_is_sigbus)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        need_poison(g);
        g->faults = (struct pager_faults){ .nothing_cached = true, .eio_read = 2, .eio_reads = 1 };
        rig_start(g);
        cr_assert(rig_page_equal(g, 1));
        cr_assert(touch_is_sigbus(g, 2));
        cr_assert(rig_page_equal(g, 4));
        assert_lost(g, 2, -EIO);
        rig_free(g);
}

static void silence(struct rig *g, int pipe_fds[2], uint32_t nth)
{
        cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
        g->faults = (struct pager_faults){ .nothing_cached = true, .silent_read = nth, .silent_reads = 1,
                                           .silent_fd = pipe_fds[0] };
        g->c.source_timeout_ms = 50;
}

Test(pager_lost, a_source_that_stays_silent_loses_its_page_in_time)
{
        struct rig *g = rig_new(64, RIG_TMPFS);
        int         pipe_fds[2];
        uint64_t    start_ns;

        need_poison(g);
        silence(g, pipe_fds, 2);
        rig_start(g);
        cr_assert(rig_page_equal(g, 1));
        start_ns = now_ns();
        cr_assert(touch_is_sigbus(g, 2));
        cr_assert_geq(now_ns() - start_ns, 50 * NS_PER_MS);
        cr_assert(rig_page_equal(g, 4));
        assert_lost(g, 2, -ETIMEDOUT);
        rig_free(g);
}

Test(pager_lost, a_silent_read_does_not_hold_up_the_others)
{
        struct rig *g = rig_new(64, RIG_TMPFS);
        int         pipe_fds[2];
        uint64_t    hint = 2;

        silence(g, pipe_fds, 1);
        g->c.source_timeout_ms = 5000;
        rig_replay(g, &hint, 1);
        rig_start(g);
        rig_await(rig_stats(g).cold_reads == 1);
        for (uint64_t page = 3; page < 64; page++)
                cr_assert(rig_page_equal(g, page));
        cr_assert_eq(g->lost + g->replayed, 0);
        rig_free(g);
}

Test(pager_lost, a_flipped_bit_is_found_before_it_is_installed)
{
        struct rig *g = rig_new(64, RIG_TMPFS);
        uint8_t     flipped = g->model[pages_to_bytes(10) + 77] ^ 4;

        need_poison(g);
        rig_add_sums(g);
        g->c.around_pages = 16;
        cr_assert_eq(pwrite(g->fd, &flipped, 1, (off_t)pages_to_bytes(10) + 77), 1);
        rig_start(g);
        for (uint64_t page = 0; page < 64; page++)
                cr_assert(page == 10 ? touch_is_sigbus(g, page) : rig_page_equal(g, page), "page %llu", (unsigned long long)page);
        assert_lost(g, 10, -EBADMSG);
        cr_assert_eq(pager_wait(g->p, 10000), -EIO);
        cr_assert_eq(g->lost, 2, "once when it came along with page 0, once when it was touched");
        cr_assert_eq(g->lost_demanded, 1);
        cr_assert_eq(rig_stats(g).lost_pages, 1);
        rig_free(g);
}

Test(pager_lost, verified_pages_that_are_whole_are_installed)
{
        struct rig *g = rig_new(256, RIG_TMPFS);

        rig_add_sums(g);
        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_lost, a_run_without_checksums_is_installed_beside_one_that_is_verified)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_add_sums(g);
        g->map.nr_runs = 0;
        cr_assert_eq(page_map_append(&g->map, &(struct page_run){ .nr_pages = 32, .kind = RUN_RAW }), 0);
        cr_assert_eq(page_map_append(&g->map, &(struct page_run){ .first_page = 32, .nr_pages = 32, .kind = RUN_RAW,
                                                                  .first_sum = NO_SUM,
                                                                  .file_offset_bytes = pages_to_bytes(32) }), 0);
        g->map.sums[40] ^= 1; /* nobody looks at it */
        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        rig_assert_all_equal(g);
        rig_free(g);
}

struct toucher {
        const struct rig *g;
        uint64_t          page;
        atomic_bool       came_back;
};

static void *touch_in_thread(void *arg)
{
        struct toucher *t = arg;

        (void)rig_touch(t->g, t->page);
        t->came_back = true;
        return NULL;
}

Test(pager_lost, where_the_kernel_cannot_poison_the_fault_stays_unanswered)
{
        struct rig    *g = rig_new(64, RIG_TMPFS);
        struct toucher t = { .g = g, .page = 40 };
        pthread_t      thread;

        g->caps.uffd_poison = false;
        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(32)), 0);
        rig_start(g);
        pthread_create(&thread, NULL, touch_in_thread, &t);
        rig_await(g->lost == 1);
        cr_assert_eq(g->lost_demanded, 1);
        cr_assert(!g->last_lost_poisoned);
        rig_sleep_ms(50);
        cr_assert(!t.came_back, "it read zeros where the snapshot has none");
        assert_lost(g, 40, -ENODATA);
        /* no free: the thread would go on with zeros */
}

Test(pager_lost, where_nobody_will_see_it_the_waiter_is_let_go_without_poison)
{
        struct rig    *g = rig_new(64, RIG_TMPFS);
        struct toucher t = { .g = g, .page = 40 };
        pthread_t      thread;

        g->caps.uffd_poison = false;
        g->nobody_sees = true;
        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(32)), 0);
        rig_start(g);
        pthread_create(&thread, NULL, touch_in_thread, &t);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert_eq(g->lost_demanded, 1);
        cr_assert(pager_find_lost(g->p, 40, NULL), "it stays lost by name");
        rig_free(g);
}

Test(pager_lost, an_unpoisoned_page_that_was_lost_ahead_is_told_again_when_a_fault_waits_for_it)
{
        struct rig    *g = rig_new(64, RIG_TMPFS);
        struct toucher t = { .g = g, .page = 63 };
        pthread_t      thread;

        g->caps.uffd_poison = false;
        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(63)), 0);
        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), -EIO);
        cr_assert_eq(g->lost, 1);
        cr_assert_eq(g->lost_demanded, 0);
        pthread_create(&thread, NULL, touch_in_thread, &t);
        rig_await(g->lost_demanded == 1);
        rig_sleep_ms(50);
        cr_assert(!t.came_back);
        for (uint64_t page = 0; page < 63; page++)
                cr_assert(rig_page_equal(g, page));
}

static void *touch_poisoned_or_not(void *arg)
{
        struct toucher *t = arg;

        (void)touch_is_sigbus(t->g, t->page);
        return NULL;
}

/* The source keeps silent for ten seconds; whoever waits for it must not. */
static void check_given_up(bool poison)
{
        struct rig    *g = rig_new(64, RIG_TMPFS);
        struct toucher t = { .g = g, .page = 2 };
        pthread_t      thread;
        int            pipe_fds[2];
        uint64_t       start_ns;

        silence(g, pipe_fds, 2);
        g->c.source_timeout_ms = 10000;
        g->caps.uffd_poison &= poison;
        rig_start(g);
        cr_assert(rig_page_equal(g, 1));
        pthread_create(&thread, NULL, touch_poisoned_or_not, &t);
        rig_await(rig_stats(g).messages >= 2);
        start_ns = now_ns();
        pager_give_up(g->p);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert_lt(now_ns() - start_ns, 2 * NS_PER_S);
        cr_assert_eq(g->lost, 0, "nobody is told: the VM has ended already");
        rig_free(g);
}

Test(pager_lost, who_waits_for_a_silent_source_is_let_go_when_the_pager_is_given_up, .timeout = 20)
{
        check_given_up(true);
}

Test(pager_lost, who_waits_for_a_silent_source_is_let_go_without_poison_too, .timeout = 20)
{
        check_given_up(false);
}

Test(pager_lost, who_was_left_waiting_for_a_lost_page_is_let_go_when_the_pager_is_given_up, .timeout = 20)
{
        struct rig    *g = rig_new(64, RIG_TMPFS);
        struct toucher t = { .g = g, .page = 40 };
        pthread_t      thread;

        g->caps.uffd_poison = false;
        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(32)), 0);
        rig_start(g);
        pthread_create(&thread, NULL, touch_in_thread, &t);
        rig_await(g->lost_demanded == 1);
        rig_sleep_ms(20);
        cr_assert(!t.came_back);
        pager_give_up(g->p);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        rig_free(g);
}

Test(pager_lost, who_touches_what_it_gave_back_after_the_pager_was_given_up_is_let_go, .timeout = 20)
{
        struct rig    *g = rig_new(64, RIG_TMPFS);
        struct toucher t = { .g = g, .page = 40 };
        pthread_t      thread;

        rig_start(g);
        pager_give_up(g->p);
        cr_assert_eq(madvise(g->ram + pages_to_bytes(40), PAGE_BYTES, MADV_DONTNEED), 0);
        pthread_create(&thread, NULL, touch_in_thread, &t);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        rig_free(g);
}
