/* test_identity: what may become a file name. */
#include "core/model/identity.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(identity, native_and_foreign_ones_are_valid)
{
        struct identity native = { "123e4567-e89b-12d3-a456-426614174000" };
        struct identity foreign = { "00112233445566778899aabbccddeeff-134217728-1700000000000000000" };

        cr_assert(identity_is_valid(&native));
        cr_assert(identity_is_valid(&foreign));
}

Test(identity, what_could_lead_elsewhere_as_a_file_name_is_not_valid)
{
        static const char *const bad[] = { "", ".", "..", "../ab", "ab/cd", "AB", "ab ", "ab\n", "g" };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct identity id = { { 0 } };

                snprintf(id.s, sizeof(id.s), "%s", bad[i]);
                cr_assert(!identity_is_valid(&id), "\"%s\"", bad[i]);
        }
}

Test(identity, one_without_an_end_is_not_valid)
{
        struct identity id;

        memset(id.s, 'a', sizeof(id.s));
        cr_assert(!identity_is_valid(&id));
        id.s[sizeof(id.s) - 1] = '\0';
        cr_assert(identity_is_valid(&id));
}

Test(identity, two_are_equal_up_to_their_end)
{
        struct identity a = { "ab\0x" }, b = { "ab\0y" }, c = { "abc" };

        cr_assert(identity_equal(&a, &b));
        cr_assert(!identity_equal(&a, &c));
}
