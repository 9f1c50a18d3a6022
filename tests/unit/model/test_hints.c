/* test_hints: a list that breaks a rule is refused, and the first hint that breaks it is named. */
#include "core/model/hints.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct hint three[] = { { .page = 9, .seen = 1 }, { .page = 0, .seen = 2 }, { .page = 5, .seen = 2 } };

static struct hints good(void)
{
        return (struct hints){ .ram_pages = 10, .recordings = 2, .nr = 3, .v = three };
}

static void assert_refused(const struct hints *h, const char *text)
{
        struct err e = { 0 };

        cr_assert_eq(hints_check(h, "hints", &e), -EBADMSG);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, text), "%s", e.text);
}

Test(hints, a_list_in_any_order_is_accepted)
{
        struct hints h = good();

        cr_assert_eq(hints_check(&h, "hints", NULL), 0);
}

Test(hints, an_empty_list_is_accepted)
{
        struct hints h = { .ram_pages = 10 };

        cr_assert_eq(hints_check(&h, "hints", NULL), 0);
}

Test(hints, a_page_past_ram_is_refused)
{
        struct hints h = good();

        three[2].page = 10;
        assert_refused(&h, "hints: hint 2: expected a RAM page below 10, found 10");
        three[2].page = UINT32_MAX;
        assert_refused(&h, "hint 2: expected a RAM page below 10, found 4294967295");
}

Test(hints, a_page_that_comes_twice_is_refused)
{
        struct hints h = good();

        three[2].page = 9;
        assert_refused(&h, "hint 2: expected each page once, found page 9 again");
}

Test(hints, a_page_seen_never_or_more_often_than_recorded_is_refused)
{
        struct hints h = good();

        three[1].seen = 0;
        assert_refused(&h, "hint 1: expected page 0 to be seen in 1 to 2 recordings, found 0");
        three[1].seen = 3;
        assert_refused(&h, "hint 1: expected page 0 to be seen in 1 to 2 recordings, found 3");
}

Test(hints, a_ram_size_beyond_all_memory_is_an_error_and_no_crash)
{
        struct hints h = good();
        struct err   e = { 0 };

        h.ram_pages = UINT64_MAX;
        cr_assert_eq(hints_check(&h, "hints", &e), -ENOMEM);
        cr_assert_eq(e.code, -ENOMEM);
}

Test(hints, freeing_accepts_nothing_and_twice)
{
        struct hints h = { .nr = 1, .v = calloc(1, sizeof(struct hint)) };

        hints_free(NULL);
        hints_free(&h);
        hints_free(&h);
        cr_assert_null(h.v);
}
