/* Room for reads, and how many of them go out at once. */
#include "core/base/units.h"
#include "uffd/depth.h"
#include "uffd/read_pool.h"

#include <criterion/criterion.h>

Test(read_pool, what_is_taken_is_aligned_apart_and_within_what_is_shared)
{
        static const uint32_t lengths[] = { 1, 64, 3, 2, 128, 33, 1, 5 };
        struct read_pool      p = { 0 };
        uint64_t              taken[READ_POOL_PAGES] = { 0 };

        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
                int first = read_pool_take(&p, lengths[i], false);

                cr_assert(first >= 0 && (uint32_t)first + lengths[i] <= READ_POOL_SHARED);
                for (uint32_t k = 0; k < lengths[i]; k++)
                        cr_assert_eq(taken[(uint32_t)first + k]++, 0, "page %u is taken twice", (uint32_t)first + k);
        }
}

Test(read_pool, what_is_given_back_can_be_taken_again)
{
        static const uint32_t lengths[] = { 1, 2, 64, 256 };

        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
                struct read_pool p = { 0 };

                for (int k = 0; k < 5000; k++) {
                        int first = read_pool_take(&p, lengths[i], false);

                        cr_assert_geq(first, 0);
                        read_pool_give(&p, first, lengths[i]);
                }
        }
}

Test(read_pool, those_who_wait_find_room_when_everybody_else_has_none)
{
        struct read_pool p = { 0 };

        while (read_pool_take(&p, 64, false) >= 0)
                ;
        cr_assert_eq(read_pool_take(&p, 1, false), -1);
        for (int i = 0; i < READ_POOL_PAGES - READ_POOL_SHARED; i++)
                cr_assert_geq(read_pool_take(&p, 1, true), READ_POOL_SHARED);
        cr_assert_eq(read_pool_take(&p, 1, true), -1);
}

Test(read_pool, a_chunk_of_2_mib_finds_room_and_more_is_refused)
{
        struct read_pool p = { 0 };

        cr_assert_geq(read_pool_take(&p, READ_POOL_MAX_PAGES, true), 0);
        cr_assert_eq(read_pool_take(&p, READ_POOL_MAX_PAGES + 1, true), -1);
}

/* A device that answers `limit` reads at once in 1 ms, and the rest after them. */
static void run(struct depth *d, uint32_t limit, int reads)
{
        uint64_t now = NS_PER_S;

        for (int i = 0; i < reads; i++) {
                now += NS_PER_MS / MIN(d->now, limit);
                depth_answered(d, 1, d->now, now);
        }
}

Test(depth, it_is_doubled_as_long_as_the_device_gets_faster_by_it)
{
        struct depth d;

        depth_init(&d);
        run(&d, 1000, 2000);
        cr_assert_eq(d.now, DEPTH_MAX);
}

Test(depth, it_goes_back_where_more_brings_nothing)
{
        struct depth d;

        depth_init(&d);
        run(&d, DEPTH_START, 3 * DEPTH_START + 10);
        cr_assert_eq(d.now, DEPTH_START);
}

Test(depth, a_queue_that_is_not_full_says_nothing)
{
        struct depth d;
        uint64_t     now = NS_PER_S;

        depth_init(&d);
        for (int i = 0; i < 2000; i++)
                depth_answered(&d, 1, 3, now += 1000);
        cr_assert_eq(d.now, DEPTH_START);
}
