/* test_bitmap: one bit per page, compared against a plain array of bools. */
#include "core/base/bitmap.h"

#include "core/base/units.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

/* Sizes around the seams between words. */
static const uint64_t sizes[] = { 0, 1, 63, 64, 65, 127, 128, 129, 1000 };
#define NR_SIZES ARRAY_LEN(sizes)

static uint64_t next_slowly(const struct bitmap *b, uint64_t i, bool wanted)
{
        while (i < b->nr_bits && bitmap_test(b, i) != wanted)
                i++;
        return i < b->nr_bits ? i : b->nr_bits;
}

Test(bitmap, a_new_one_is_all_clear)
{
        for (size_t s = 0; s < NR_SIZES; s++) {
                struct bitmap b;

                cr_assert_eq(bitmap_init(&b, sizes[s]), 0);
                cr_assert_eq(bitmap_count(&b), 0);
                cr_assert_eq(bitmap_next_set(&b, 0), sizes[s]);
                cr_assert_eq(bitmap_next_clear(&b, 0), 0);
                bitmap_free(&b);
        }
}

Test(bitmap, one_that_does_not_fit_into_memory_is_refused_and_untouched)
{
        struct bitmap b = { .nr_bits = 7 };

        cr_assert_eq(bitmap_init(&b, UINT64_MAX), -ENOMEM);
        cr_assert_eq(b.nr_bits, 7);
}

Test(bitmap, freeing_accepts_nothing_and_twice)
{
        struct bitmap b;

        bitmap_free(NULL);
        cr_assert_eq(bitmap_init(&b, 5), 0);
        bitmap_free(&b);
        bitmap_free(&b);
        cr_assert_null(b.words);
}

Test(bitmap, setting_and_clearing_one_bit_leaves_its_neighbours)
{
        struct bitmap b;

        cr_assert_eq(bitmap_init(&b, 130), 0);
        bitmap_set(&b, 64);
        cr_assert(!bitmap_test(&b, 63) && bitmap_test(&b, 64) && !bitmap_test(&b, 65));
        bitmap_clear(&b, 64);
        cr_assert_eq(bitmap_count(&b), 0);
        bitmap_free(&b);
}

Test(bitmap, a_range_sets_its_bits_and_no_others)
{
        for (uint64_t first = 0; first < 200; first += 7) {
                for (uint64_t nr = 0; first + nr <= 200; nr++) {
                        struct bitmap b;

                        cr_assert_eq(bitmap_init(&b, 200), 0);
                        bitmap_set_range(&b, first, nr);
                        cr_assert_eq(bitmap_count(&b), nr);
                        for (uint64_t i = 0; i < 200; i++)
                                cr_assert_eq(bitmap_test(&b, i), i >= first && i < first + nr);
                        bitmap_free(&b);
                }
        }
}

Test(bitmap, the_next_bit_is_the_one_a_slow_search_finds)
{
        srand(1);
        for (size_t s = 0; s < NR_SIZES; s++) {
                struct bitmap b;

                cr_assert_eq(bitmap_init(&b, sizes[s]), 0);
                for (uint64_t i = 0; i < sizes[s]; i += 1 + (uint64_t)rand() % 90)
                        bitmap_set_range(&b, i, MIN((uint64_t)rand() % 70, sizes[s] - i));
                for (uint64_t i = 0; i <= sizes[s] + 64; i++) {
                        cr_assert_eq(bitmap_next_set(&b, i), next_slowly(&b, i, true));
                        cr_assert_eq(bitmap_next_clear(&b, i), next_slowly(&b, i, false));
                }
                bitmap_free(&b);
        }
}

Test(bitmap, a_full_one_has_no_clear_bit_even_past_its_end)
{
        for (size_t s = 0; s < NR_SIZES; s++) {
                struct bitmap b;

                cr_assert_eq(bitmap_init(&b, sizes[s]), 0);
                bitmap_set_range(&b, 0, sizes[s]);
                cr_assert_eq(bitmap_count(&b), sizes[s]);
                cr_assert_eq(bitmap_next_clear(&b, 0), sizes[s]);
                bitmap_free(&b);
        }
}
