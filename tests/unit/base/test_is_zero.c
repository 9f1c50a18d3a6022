/* test_is_zero: one bit anywhere is seen. */
#include "core/base/is_zero.h"

#include "core/base/units.h"

#include <criterion/criterion.h>
#include <string.h>

static _Alignas(64) unsigned char page[PAGE_BYTES];

Test(is_zero, a_page_of_zeros_is)
{
        cr_assert(is_zero(page, sizeof(page)));
}

Test(is_zero, one_bit_in_any_byte_is_seen)
{
        for (size_t i = 0; i < sizeof(page); i++) {
                page[i] = (unsigned char)(1U << (i % 8));
                cr_assert(!is_zero(page, sizeof(page)), "byte %zu", i);
                page[i] = 0;
        }
}

Test(is_zero, every_length_in_lines_ends_where_it_says)
{
        for (size_t len = 64; len < sizeof(page); len += 64) {
                memset(page, 0, sizeof(page));
                page[len] = 1; /* the first byte that does not belong to it */
                cr_assert(is_zero(page, len), "%zu bytes", len);
                page[len - 1] = 0x80;
                cr_assert(!is_zero(page, len), "%zu bytes", len);
        }
}

Test(is_zero, nothing_is_zero)
{
        page[0] = 1;
        cr_assert(is_zero(page, 0));
}

Test(is_zero, eight_byte_alignment_is_enough)
{
        cr_assert(is_zero(page + 8, sizeof(page) - 64));
        page[8 + sizeof(page) - 65] = 1;
        cr_assert(!is_zero(page + 8, sizeof(page) - 64));
}
