/* 2 MiB that nobody touched are filled at once, and whatever happens meanwhile, RAM reads as the model. */
#include "tests/unit/uffd/packed_rig.h"
#include "uffd/stage.h"

#include <pthread.h>

#define N 2048 /* four times 2 MiB */

static struct rig *new_filled(void)
{
        struct rig *g = rig_new(N, RIG_TMPFS);

        if (!g->caps.uffd_move)
                need_lacks("UFFDIO_MOVE", ENOSYS);
        g->c.fill = g->c.paused = true;
        return g;
}

/* No page of it is zero. */
static void fill_zeros(struct rig *g)
{
        for (uint64_t page = 0; page < g->nr_pages; page++)
                if (rig_page_is_zero(page))
                        memset(g->model + pages_to_bytes(page), (int)(page % 200 + 1), PAGE_BYTES);
        cr_assert_eq(pwrite(g->fd, g->model, pages_to_bytes(g->nr_pages), 0), (ssize_t)pages_to_bytes(g->nr_pages));
}

static void await_filled(struct rig *g)
{
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        rig_assert_all_equal(g);
        cr_assert_eq(rig_stats(g).lost_pages, 0);
}

/* The page map has zeros for the first chunk of the packed run's pages from `page` on. */
static void rig_zero_first_chunk_of(struct rig *g, uint64_t page)
{
        uint32_t chunk_pages = g->map.sources[0].chunk_pages;

        memset(g->model + pages_to_bytes(page), 0, pages_to_bytes(chunk_pages));
        g->map.nr_runs = 0;
        cr_assert_eq(page_map_append(&g->map, &(struct page_run){ .nr_pages = (uint32_t)page, .kind = RUN_PACKED }), 0);
        cr_assert_eq(page_map_append(&g->map, &(struct page_run){ .first_page = page, .nr_pages = chunk_pages,
                                                                  .kind = RUN_ZERO }), 0);
        page += chunk_pages;
        cr_assert_eq(page_map_append(&g->map, &(struct page_run){ .first_page = page, .nr_pages = (uint32_t)(g->nr_pages - page),
                                                                  .kind = RUN_PACKED,
                                                                  .first_chunk = (uint32_t)(page / chunk_pages) }), 0);
}

Test(stage, ranges_that_nobody_touched_are_moved_whole)
{
        struct rig        *g = new_filled();
        struct pager_stats s;

        fill_zeros(g);
        rig_start(g);
        await_filled(g);
        s = rig_stats(g);
        cr_assert_eq(s.moved_bytes, pages_to_bytes(N));
        cr_assert_eq(s.installed_bytes, pages_to_bytes(N));
        cr_assert_eq(s.resident_pages, N);
        cr_assert_eq(s.faults[FAULT_FILL], N);
        rig_free(g);
}

Test(stage, without_the_kernels_help_they_are_copied)
{
        struct rig *g = new_filled();

        fill_zeros(g);
        g->caps.uffd_move = false;
        rig_start(g);
        await_filled(g);
        cr_assert_eq(rig_stats(g).moved_bytes, 0);
        rig_free(g);
}

Test(stage, where_many_pages_are_zero_they_get_no_memory)
{
        struct rig *g = new_filled(); /* every seventh, more than an eighth */

        rig_start(g);
        await_filled(g);
        cr_assert_eq(rig_stats(g).moved_bytes, 0);
        cr_assert_eq(rig_stats(g).faults[FAULT_ZERO], (N + 3) / 7);
        rig_free(g);
}

Test(stage, a_few_zero_pages_are_moved_along)
{
        struct rig *g = new_filled();

        fill_zeros(g);
        rig_cut_zero_run(g, 600, 20);
        rig_start(g);
        await_filled(g);
        cr_assert_eq(rig_stats(g).moved_bytes, pages_to_bytes(N));
        cr_assert_eq(rig_stats(g).faults[FAULT_ZERO], 20);
        rig_free(g);
}

/* What was there of an earlier range that was broken must not show. */
Test(stage, zeros_are_zeros_also_where_the_place_was_used_before)
{
        struct rig *g = new_filled();

        fill_zeros(g);
        rig_cut_zero_run(g, 600, 20);
        g->faults.short_read = 2; /* of the first range: it ends early, and the range is broken up */
        rig_start(g);
        await_filled(g);
        rig_free(g);
}

Test(stage, a_range_in_which_a_page_is_there_is_copied)
{
        struct rig *g = new_filled();

        fill_zeros(g);
        g->c.fill = g->c.paused = false;
        rig_start(g);
        rig_touch(g, 700);
        rig_await(rig_stats(g).resident_pages == 1);
        pager_hurry(g->p);
        await_filled(g);
        cr_assert_eq(rig_stats(g).moved_bytes, pages_to_bytes(N - 512));
        rig_free(g);
}

Test(stage, a_page_that_was_given_back_stays_zero)
{
        struct rig *g = new_filled();

        fill_zeros(g);
        g->c.fill = g->c.paused = false;
        rig_start(g);
        cr_assert_eq(madvise(g->ram + pages_to_bytes(1500), PAGE_BYTES, MADV_DONTNEED), 0);
        memset(g->model + pages_to_bytes(1500), 0, PAGE_BYTES);
        pager_hurry(g->p);
        await_filled(g);
        rig_free(g);
}

Test(stage, a_range_that_is_not_whole_in_one_served_range_is_copied)
{
        struct pager_range served[] = { { 0, 1000 }, { 1000, N - 1000 } };
        struct rig        *g = new_filled();

        fill_zeros(g);
        g->c.served = served;
        g->c.nr_served = 2;
        rig_start(g);
        await_filled(g);
        cr_assert_eq(rig_stats(g).moved_bytes, pages_to_bytes(N - 512));
        rig_free(g);
}

Test(stage, a_flipped_bit_costs_one_page_and_the_others_are_right)
{
        struct rig *g = new_filled();
        uint8_t     flipped;

        fill_zeros(g);
        flipped = g->model[pages_to_bytes(700) + 9] ^ 16;
        rig_add_sums(g);
        cr_assert_eq(pwrite(g->fd, &flipped, 1, (off_t)pages_to_bytes(700) + 9), 1);
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), -EIO);
        cr_assert_eq(g->lost, 1);
        cr_assert_eq(g->last_lost_page, 700);
        cr_assert_eq(g->last_lost_error, -EBADMSG);
        for (uint64_t page = 0; page < N; page++)
                if (page != 700)
                        cr_assert(rig_page_equal(g, page), "page %llu", (unsigned long long)page);
        cr_assert_eq(rig_stats(g).moved_bytes, pages_to_bytes(N - 512));
        rig_free(g);
}

/* It was unpacked to the place before anybody knew, and the next 2 MiB begin with zeros there. */
Test(stage, of_a_bad_chunk_at_the_beginning_nothing_shows_in_the_zeros_behind_it)
{
        struct rig *g = new_filled();

        fill_zeros(g);
        rig_pack(g, 8);
        rig_flip(g, 0, g->map.chunks[0].packed_bytes / 2);
        rig_zero_first_chunk_of(g, 512);
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), -EIO);
        cr_assert_eq(g->lost, 8);
        for (uint64_t page = 8; page < N; page++)
                cr_assert(rig_page_equal(g, page), "page %llu", (unsigned long long)page);
        cr_assert_geq(rig_stats(g).moved_bytes, pages_to_bytes(512));
        rig_free(g);
}

Test(stage, what_is_not_cached_is_read_in_another_way)
{
        struct rig *g = rig_new(N, RIG_DISK);

        g->c.fill = g->c.paused = true;
        rig_evict(g);
        rig_start(g);
        await_filled(g);
        rig_free(g);
}

static void *touch_all(void *arg)
{
        const struct rig *g = arg;

        for (uint64_t i = 0; i < g->nr_pages; i++)
                (void)rig_touch(g, i * 709 % g->nr_pages);
        return NULL;
}

Test(stage, faults_go_on_beside_it)
{
        for (int i = 0; i < 20; i++) {
                struct rig *g = new_filled();
                pthread_t   t[2];

                fill_zeros(g);
                rig_start(g);
                for (int n = 0; n < 2; n++)
                        pthread_create(&t[n], NULL, touch_all, g);
                for (int n = 0; n < 2; n++)
                        pthread_join(t[n], NULL);
                await_filled(g);
                rig_free(g);
        }
}

static void *discard_some(void *arg)
{
        struct rig *g = arg;

        for (uint64_t page = 0; page < g->nr_pages; page += 128)
                cr_assert_eq(madvise(g->ram + pages_to_bytes(page), pages_to_bytes(2), MADV_DONTNEED), 0);
        return NULL;
}

Test(stage, discards_go_on_beside_it)
{
        for (int i = 0; i < 20; i++) {
                struct rig *g = new_filled();
                pthread_t   t;

                fill_zeros(g);
                rig_start(g);
                pthread_create(&t, NULL, discard_some, g);
                pthread_join(t, NULL);
                cr_assert_eq(pager_wait(g->p, 10000), 0);
                for (uint64_t page = 0; page < N; page++) {
                        if (page % 128 < 2)
                                cr_assert_eq(rig_touch(g, page), 0, "page %llu", (unsigned long long)page);
                        else
                                cr_assert(rig_page_equal(g, page), "page %llu", (unsigned long long)page);
                }
                rig_free(g);
        }
}

Test(stage, an_event_that_comes_between_is_heard_and_the_move_tried_again)
{
        struct rig *g = new_filled();

        fill_zeros(g);
        g->faults.eagain_copy = 1;
        rig_start(g);
        await_filled(g);
        rig_free(g);
}
