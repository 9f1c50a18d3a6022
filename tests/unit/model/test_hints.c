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

Test(hints, an_unknown_phase_flag_or_reserved_byte_is_refused)
{
        struct hints h = good();

        three[2].phase = HINT_PHASES;
        assert_refused(&h, "hint 2: expected phase 0 to 2, flags within 0x7 and 0, found phase 3");
        three[2].phase = 0;
        three[2].flags = 8;
        assert_refused(&h, "found phase 0, flags 0x8");
        three[2].flags = 0;
        three[2].reserved = 1;
        assert_refused(&h, "flags 0 and 1");
}

Test(hints, a_phase_that_comes_after_a_later_one_is_refused)
{
        struct hints h = good();

        three[0].phase = HINT_PHASE_T4;
        assert_refused(&h, "hint 1: expected phases in their order, found phase 0 after 1");
}

Test(hints, more_recordings_than_anybody_makes_are_refused)
{
        struct hints h = good();

        h.recordings = HINTS_RECORDINGS_MAX + 1;
        assert_refused(&h, "expected at most 65535 recordings, found 65536");
}

Test(hints, of_five_recordings_a_page_must_have_been_seen_twice_to_be_kept)
{
        struct hint  v[] = { { .page = 1, .seen = 1 }, { .page = 2, .seen = 2 }, { .page = 3, .seen = 1 },
                             { .page = 4, .seen = 4 } };
        struct hints h = { .ram_pages = 10, .recordings = 5, .nr = 4, .v = v };

        cr_assert_eq(hints_min_seen(&h), 2);
        hints_keep_seen(&h, hints_min_seen(&h));
        cr_assert_eq(h.nr, 2);
        cr_assert(v[0].page == 2 && v[1].page == 4);
        h.recordings = 4;
        cr_assert_eq(hints_min_seen(&h), 1);
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
