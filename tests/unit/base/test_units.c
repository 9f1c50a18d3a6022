/* test_units: conversions and the range check at their limits. */
#include "core/base/units.h"

#include <criterion/criterion.h>

Test(units, a_range_that_ends_with_the_size_fits_and_one_byte_more_does_not)
{
        cr_assert(range_fits(4096, 4096, 8192));
        cr_assert(!range_fits(4096, 4097, 8192));
        cr_assert(!range_fits(8193, 0, 8192));
        cr_assert(range_fits(8192, 0, 8192));
}

Test(units, a_range_whose_sum_overflows_does_not_fit)
{
        cr_assert(!range_fits(UINT64_MAX, 2, UINT64_MAX));
        cr_assert(!range_fits(2, UINT64_MAX, UINT64_MAX));
}

Test(units, pages_and_bytes_convert_both_ways)
{
        cr_assert_eq(pages_to_bytes(3), 12288);
        cr_assert_eq(bytes_to_pages(12288), 3);
        cr_assert_eq(align_up(4097, 4096), 8192);
        cr_assert(is_page_aligned(8192) && !is_page_aligned(8193));
}
