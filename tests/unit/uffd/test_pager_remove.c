/* What the guest gave back is zero ever after, whoever races with whom. */
#include "tests/unit/uffd/rig.h"

#include <pthread.h>

static void discard(const struct rig *g, uint64_t page, uint64_t nr)
{
        cr_assert_eq(madvise(g->ram + pages_to_bytes(page), pages_to_bytes(nr), MADV_DONTNEED), 0);
}

static void assert_zero(const struct rig *g, uint64_t page)
{
        for (uint64_t i = 0; i < PAGE_BYTES; i++)
                cr_assert_eq(g->ram[pages_to_bytes(page) + i], 0, "page %llu", (unsigned long long)page);
}

Test(pager_remove, a_discarded_page_reads_zero_and_not_the_snapshot)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_start(g);
        cr_assert(rig_page_equal(g, 5));
        discard(g, 4, 4); /* 5 was there, the others never were */
        for (uint64_t page = 4; page < 8; page++)
                assert_zero(g, page);
        discard(g, 4, 4);
        assert_zero(g, 5);
        cr_assert(rig_page_equal(g, 8));
        rig_await(rig_stats(g).resident_pages == 1);
        rig_free(g);
}

Test(pager_remove, a_discarded_page_can_be_written_and_keeps_what_was_written)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_start(g);
        discard(g, 4, 1);
        g->ram[pages_to_bytes(4) + 9] = 42;
        cr_assert_eq(g->ram[pages_to_bytes(4) + 9], 42);
        rig_free(g);
}

Test(pager_remove, fill_does_not_bring_discarded_pages_back)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_start(g);
        discard(g, 10, 20);
        pager_hurry(g->p);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        for (uint64_t page = 0; page < 64; page++) {
                if (page >= 10 && page < 30)
                        assert_zero(g, page);
                else
                        cr_assert(rig_page_equal(g, page));
        }
        rig_free(g);
}

Test(pager_remove, around_does_not_bring_discarded_pages_back)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        g->c.around_pages = 16;
        rig_start(g);
        discard(g, 20, 1);
        for (uint64_t page = 16; page < 20; page++)
                cr_assert(rig_page_equal(g, page));
        assert_zero(g, 20);
        rig_free(g);
}

Test(pager_remove, a_page_that_is_discarded_while_it_is_read_is_zero)
{
        struct rig *g = rig_new(64, RIG_TMPFS);
        uint64_t    hint = 5;
        int         pipe_fds[2];

        cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
        g->faults = (struct pager_faults){ .nothing_cached = true, .silent_read = 1, .silent_reads = 1,
                                           .silent_fd = pipe_fds[0] };
        rig_replay(g, &hint, 1);
        rig_start(g);
        rig_await(rig_stats(g).cold_reads == 1);
        discard(g, 5, 1);
        rig_await(g->replayed == 1); /* nobody waits for it any more */
        /* its bytes come late, and must not be installed */
        cr_assert_eq(write(pipe_fds[1], g->model + pages_to_bytes(5), PAGE_BYTES), (ssize_t)PAGE_BYTES);
        rig_sleep_ms(20);
        assert_zero(g, 5);
        cr_assert_eq(rig_stats(g).lost_pages, 0);
        rig_free(g);
}

/* Discards the upper half, piece by piece, while the lower half is filled and touched: each madvise makes UFFDIO_COPY say
 * EAGAIN. */
static void *discard_upper_half(void *arg)
{
        const struct rig *g = arg;

        for (uint64_t page = g->nr_pages / 2; page < g->nr_pages; page += 4)
                discard(g, page, 4);
        return NULL;
}

static void run_against_discards(struct rig *g)
{
        pthread_t t;

        rig_start(g);
        pthread_create(&t, NULL, discard_upper_half, g);
        for (uint64_t page = 0; page < g->nr_pages / 2; page++)
                cr_assert(rig_page_equal(g, page), "page %llu", (unsigned long long)page);
        pthread_join(t, NULL);
        for (uint64_t page = g->nr_pages / 2; page < g->nr_pages; page++)
                assert_zero(g, page);
        cr_assert_eq(rig_stats(g).lost_pages, 0);
}

Test(pager_remove, faults_go_on_beside_discards)
{
        struct rig *g = rig_new(4096, RIG_TMPFS);

        g->c.around_pages = 8;
        run_against_discards(g);
        rig_free(g);
}

Test(pager_remove, fill_goes_on_beside_discards)
{
        struct rig *g = rig_new(8192, RIG_TMPFS);

        g->c.fill = g->c.paused = true;
        run_against_discards(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        rig_free(g);
}

Test(pager_remove, cold_reads_go_on_beside_discards)
{
        struct rig *g = rig_new(4096, RIG_TMPFS);

        g->faults.nothing_cached = true;
        g->c.fill = g->c.paused = true;
        run_against_discards(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        rig_free(g);
}

Test(pager_remove, a_lost_page_that_is_discarded_is_zero)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(63)), 0);
        g->c.fill = g->c.paused = true;
        g->caps.uffd_poison = false;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), -EIO);
        discard(g, 63, 1);
        assert_zero(g, 63);
        rig_free(g);
}
