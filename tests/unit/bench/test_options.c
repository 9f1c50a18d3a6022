/* Values of options: taken whole, or not at all. */
#include "bench/options.h"

#include "core/base/units.h"

#include <criterion/criterion.h>

Test(options, a_number_is_digits_within_its_bounds)
{
        static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1x", "x", "4", "11", "99999999999999999999"};
        uint64_t v;

        cr_assert(option_number("5", 5, 10, &v) && v == 5);
        cr_assert(option_number("10", 5, 10, &v) && v == 10);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                cr_assert_not(option_number(bad[i], 5, 10, &v), "'%s' was taken", bad[i]);
}

Test(options, a_size_takes_K_M_and_G)
{
        static const char *const bad[] = {"", "M", "1T", "1MM", "1m", "17G", "18446744073709551615G"};
        uint64_t v;

        cr_assert(option_size("4096", 1, 16 * GIB, &v) && v == 4096);
        cr_assert(option_size("3K", 1, 16 * GIB, &v) && v == 3 * KIB);
        cr_assert(option_size("16G", 1, 16 * GIB, &v) && v == 16 * GIB);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                cr_assert_not(option_size(bad[i], 1, 16 * GIB, &v), "'%s' was taken", bad[i]);
}

Test(options, a_list_of_numbers_has_no_gap_and_no_more_than_its_room)
{
        static const char *const bad[] = {"", ",", "1,", ",1", "1,,2", "1,2,3,4", "0", "1 2"};
        unsigned v[3];
        size_t nr;

        cr_assert(option_numbers("1,8,64", 1, 64, v, 3, &nr));
        cr_assert_eq(nr, 3);
        cr_assert(v[0] == 1 && v[1] == 8 && v[2] == 64);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                cr_assert_not(option_numbers(bad[i], 1, 64, v, 3, &nr), "'%s' was taken", bad[i]);
}

Test(options, a_list_of_names_says_which_are_in_it)
{
        static const char *const names[] = {"warm", "cold", "war"};
        bool has[3];

        cr_assert(option_names("cold,war", names, 3, has));
        cr_assert(!has[0] && has[1] && has[2]);
        cr_assert_not(option_names("cold,", names, 3, has));
        cr_assert_not(option_names("warmer", names, 3, has));
        cr_assert_not(option_names("", names, 3, has));
}
