/* Reads at depth: past the page cache or not, ahead of who waits or not, each page comes once and as the file has it. */
#include "tests/support/need.h"
#include "tests/unit/uffd/rig.h"
#include "uffd/depth.h"
#include "uffd/read_ring.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define SCATTERED 500

/* Runs of one to three pages, all over 2048. */
static void replay_scattered(struct rig *g)
{
        uint64_t pages[SCATTERED];

        for (uint64_t i = 0; i < SCATTERED; i++)
                pages[i] = i / 2 * 8 + i % 2 + (i % 6 == 0);
        rig_replay(g, pages, SCATTERED);
}

static void assert_hints_are_right(const struct rig *g)
{
        for (size_t i = 0; i < g->c.nr_replay; i++) {
                cr_assert(rig_is_resident(g, g->hints[i].page), "hint %zu, page %u", i, g->hints[i].page);
                cr_assert(rig_page_equal(g, g->hints[i].page), "hint %zu, page %u", i, g->hints[i].page);
        }
}

static uint64_t nr_resident(const struct rig *g)
{
        uint64_t nr = 0;

        for (uint64_t page = 0; page < g->nr_pages; page++)
                nr += rig_is_resident(g, page);
        return nr;
}

Test(pager_cold, hints_come_past_the_page_cache_and_leave_it_as_it_was)
{
        struct rig *g = rig_new(2048, RIG_DISK);
        int         fd = openat(g->dir.fd, "memory", O_RDONLY | O_DIRECT | O_CLOEXEC);

        if (fd < 0)
                cr_skip_test("a file system without O_DIRECT");
        close(fd);
        replay_scattered(g);
        rig_evict(g);
        rig_start(g);
        rig_await(g->replayed == 1);
        assert_hints_are_right(g);
        /* The first miss was found by asking for it, and the kernel read that. */
        cr_assert_lt(rig_nr_cached(g), 64);
        rig_free(g);
}

Test(pager_cold, where_o_direct_is_refused_at_open_or_by_a_read_the_page_cache_serves)
{
        for (int by_read = 0; by_read < 2; by_read++) {
                struct rig *g = rig_new(2048, RIG_DISK);

                g->faults.no_direct = !by_read;
                g->faults.odd_read = by_read ? 3 : 0;
                replay_scattered(g);
                rig_evict(g);
                rig_start(g);
                rig_await(g->replayed == 1);
                cr_assert_eq(g->lost, 0);
                assert_hints_are_right(g);
                rig_free(g);
        }
}

/* CAP_IPC_LOCK would let us lock as much as we like. */
static bool limit_locked(rlim_t bytes)
{
        struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct   d[2];

        if (syscall(SYS_capget, &h, d) < 0)
                return false;
        d[0].effective &= ~(1u << CAP_IPC_LOCK);
        return syscall(SYS_capset, &h, d) == 0 && setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ bytes, bytes }) == 0;
}

Test(pager_cold, without_memory_that_may_be_locked_it_goes_on_without_a_registered_buffer)
{
        struct rig       *g = rig_new(2048, RIG_DISK);
        struct read_ring *r = NULL;

        if (!limit_locked(MIB)) /* enough for the ring */
                cr_skip_test("CAP_IPC_LOCK cannot be dropped: %s", strerror(errno));
        if (read_ring_new(&r) < 0)
                cr_skip_test("io_uring is not to be had");
        read_ring_register(r, &g->fd, 1);
        cr_assert_not(read_ring_has_fixed_buffer(r));
        read_ring_free(r);
        replay_scattered(g);
        rig_evict(g);
        rig_start(g);
        rig_await(g->replayed == 1);
        assert_hints_are_right(g);
        rig_free(g);
}

Test(pager_cold, without_memory_that_may_be_locked_for_a_ring_it_goes_on_as_without_io_uring)
{
        struct rig *g = rig_new(2048, RIG_DISK);

        if (!limit_locked(0))
                cr_skip_test("CAP_IPC_LOCK cannot be dropped: %s", strerror(errno));
        replay_scattered(g);
        rig_evict(g);
        rig_start(g);
        rig_await(g->replayed == 1);
        assert_hints_are_right(g);
        rig_free(g);
}

Test(pager_cold, a_file_that_ends_within_a_page_loses_that_page_and_those_behind_it)
{
        struct rig *g = rig_new(64, RIG_DISK);
        uint64_t    pages[16];

        for (uint64_t i = 0; i < ARRAY_LEN(pages); i++)
                pages[i] = 40 + i;
        rig_replay(g, pages, ARRAY_LEN(pages));
        rig_evict(g);
        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(50) + 100), 0);
        rig_start(g);
        rig_await(g->replayed == 1);
        cr_assert_eq(g->lost, 6); /* 50 to 55 */
        cr_assert_eq(g->last_lost_error, -ENODATA);
        for (uint64_t page = 40; page < 50; page++)
                cr_assert(rig_page_equal(g, page), "page %llu", (unsigned long long)page);
        rig_free(g);
}

Test(pager_cold, one_bad_sector_in_a_long_read_costs_one_page)
{
        struct rig *g = rig_new(64, RIG_DISK);
        uint64_t    pages[32];

        for (uint64_t i = 0; i < ARRAY_LEN(pages); i++)
                pages[i] = i;
        rig_replay(g, pages, ARRAY_LEN(pages));
        /* all 32, then the first alone */
        g->faults = (struct pager_faults){ .nothing_cached = true, .eio_read = 1, .eio_reads = 2 };
        rig_start(g);
        rig_await(g->replayed == 1);
        cr_assert_eq(g->lost, 1);
        cr_assert_eq(g->last_lost_page, 0);
        for (uint64_t page = 1; page < 32; page++)
                cr_assert(rig_page_equal(g, page), "page %llu", (unsigned long long)page);
        rig_free(g);
}

Test(pager_cold, who_waits_overtakes_replay_whose_reads_are_all_under_way)
{
        struct rig *g = rig_new(4096, RIG_TMPFS);
        uint64_t    pages[600];
        int         fds[2];

        cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
        for (uint64_t i = 0; i < ARRAY_LEN(pages); i++)
                pages[i] = i * 2;
        rig_replay(g, pages, ARRAY_LEN(pages));
        g->faults = (struct pager_faults){ .nothing_cached = true, .silent_read = 1, .silent_reads = DEPTH_START,
                                           .silent_fd = fds[0] };
        rig_start(g);
        rig_await(rig_stats(g).cold_reads == DEPTH_START); /* and no more come: nothing is answered */
        for (uint64_t page = 2000; page < 2020; page++)
                cr_assert(rig_page_equal(g, page), "page %llu", (unsigned long long)page);
        cr_assert_eq(g->replayed, 0);
        rig_free(g);
}

static void *touch_five(void *arg)
{
        (void)rig_touch(arg, 5);
        return NULL;
}

Test(pager_cold, a_page_that_is_being_read_when_it_is_asked_for_is_not_read_twice)
{
        struct rig *g = rig_new(64, RIG_TMPFS);
        uint64_t    hint = 5;
        pthread_t   t;
        int         fds[2];

        cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
        rig_replay(g, &hint, 1);
        g->faults = (struct pager_faults){ .nothing_cached = true, .silent_read = 1, .silent_reads = 1, .silent_fd = fds[0] };
        rig_start(g);
        rig_await(rig_stats(g).cold_reads == 1);
        cr_assert_eq(pthread_create(&t, NULL, touch_five, g), 0);
        rig_await(rig_stats(g).messages == 1);
        cr_assert_eq(write(fds[1], g->model + pages_to_bytes(5), PAGE_BYTES), (ssize_t)PAGE_BYTES); /* the silent one answers */
        pthread_join(t, NULL);
        cr_assert(rig_page_equal(g, 5));
        cr_assert_eq(rig_stats(g).cold_reads, 1);
        rig_free(g);
}

Test(pager_budget, of_the_hints_only_so_many_bytes_come_and_replay_is_then_over)
{
        for (int cold = 0; cold < 2; cold++) {
                struct rig *g = rig_new(2048, RIG_DISK);

                replay_scattered(g);
                g->c.replay_budget_bytes = pages_to_bytes(20);
                if (cold)
                        rig_evict(g);
                rig_start(g);
                rig_await(g->replayed == 1);
                cr_assert_eq(nr_resident(g), 20);
                rig_free(g);
        }
}

Test(pager_budget, what_a_budget_left_out_is_the_fills)
{
        struct rig *g = rig_new(2048, RIG_DISK);

        replay_scattered(g);
        g->c.replay_budget_ns = 1;
        g->c.fill = g->c.paused = true;
        rig_start(g);
        rig_await(g->replayed == 1);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        cr_assert_lt(rig_stats(g).faults[FAULT_REPLAY], 128); /* what was begun before the first look at the clock */
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_budget, phases_come_one_after_the_other_whatever_their_addresses)
{
        struct rig *g = rig_new(2048, RIG_DISK);
        uint64_t    pages[30];

        for (uint64_t i = 0; i < ARRAY_LEN(pages); i++)
                pages[i] = 1000 - 10 * i;
        rig_replay(g, pages, ARRAY_LEN(pages));
        for (size_t i = 0; i < ARRAY_LEN(pages); i++)
                g->hints[i].phase = (uint8_t)(i / 10);
        g->c.replay_budget_bytes = pages_to_bytes(10);
        rig_evict(g);
        rig_start(g);
        rig_await(g->replayed == 1);
        for (size_t i = 0; i < ARRAY_LEN(pages); i++)
                cr_assert_eq(rig_is_resident(g, pages[i]), i < 10, "hint %zu", i);
        rig_free(g);
}
