/* test_bitmap: one bit per page, around the seams between words. */
#include "core/base/bitmap.h"

#include "core/base/units.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

/* Sizes around the seams between words. */
static const uint64_t sizes[] = { 0, 1, 63, 64, 65, 127, 128, 129, 1000 };
#define NR_SIZES ARRAY_LEN(sizes)

Test(bitmap, a_new_one_is_all_clear)
{
        for (size_t s = 0; s < NR_SIZES; s++) {
                struct bitmap b;

                cr_assert_eq(bitmap_init(&b, sizes[s]), 0);
                cr_assert_eq(b.nr_bits, sizes[s]);
                for (uint64_t i = 0; i < sizes[s]; i++)
                        cr_assert(!bitmap_test(&b, i));
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

Test(bitmap, setting_one_bit_leaves_its_neighbours)
{
        struct bitmap b;

        cr_assert_eq(bitmap_init(&b, 200), 0);
        bitmap_set(&b, 64);
        for (uint64_t i = 0; i < 200; i++)
                cr_assert_eq(bitmap_test(&b, i), i == 64);
        bitmap_free(&b);
}
