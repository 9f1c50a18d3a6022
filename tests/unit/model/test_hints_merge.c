/* test_hints_merge: what comes of several recordings, worked out by hand. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/model/hints_merge.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define ID { "00112233-4455-4677-8899-aabbccddeeff" }
#define OTHER_ID { "ffffffff-4455-4677-8899-aabbccddeeff" }

#define TOUCH(p, us, ph, fl) { .page = (p), .seen = 1, .touch_us = (us), .phase = (ph), .flags = (fl) }

/* A recording whose touches are the array. */
#define RECORDING(name, array) \
        { .file = (name), .hints = { .snapshot = ID, .ram_pages = 100, .recordings = 1, .nr = ARRAY_LEN(array), .v = (array) } }

static void assert_hint(const struct hint *h, uint32_t page, uint32_t seen, uint32_t us, uint8_t phase, uint8_t flags)
{
        cr_assert_eq(h->page, page, "expected page %u, found %u", page, h->page);
        cr_assert_eq(h->seen, seen, "page %u: expected it seen %u times, found %u", page, seen, h->seen);
        cr_assert_eq(h->touch_us, us, "page %u: expected %u us, found %u", page, us, h->touch_us);
        cr_assert(h->phase == phase && h->flags == flags, "page %u: found phase %u, flags %u", page, h->phase, h->flags);
        cr_assert_eq(h->reserved, 0);
}

Test(hints_merge, pages_stand_in_the_order_of_their_median_first_touch)
{
        struct hint a[] = { TOUCH(1, 10, 0, 0), TOUCH(2, 20, 0, 0), TOUCH(9, 30, 0, 0) };
        struct hint b[] = { TOUCH(2, 9, 0, 0), TOUCH(1, 12, 0, 0), TOUCH(3, 40, 0, 0) };
        struct hint c[] = { TOUCH(1, 15, 0, 0), TOUCH(2, 22, 0, 0), TOUCH(3, 50, 0, 0) };
        const struct hints_named           in[] = { RECORDING("a", a), RECORDING("b", b), RECORDING("c", c) };
        _cleanup_(hints_free) struct hints h = { 0 };
        struct err                         e = { 0 };

        cr_assert_eq(hints_merge(in, 3, 1, &h, &e), 0, "%s", e.text);
        cr_assert(h.nr == 4 && h.recordings == 3 && h.ram_pages == 100 && h.min_seen == 1);
        assert_hint(&h.v[0], 1, 3, 12, 0, 0);
        assert_hint(&h.v[1], 2, 3, 20, 0, 0);
        assert_hint(&h.v[2], 9, 1, 30, 0, 0);
        assert_hint(&h.v[3], 3, 2, 40, 0, 0); /* of 40 and 50 the earlier */
        cr_assert_eq(hints_check(&h, "merged", &e), 0, "%s", e.text);
}

Test(hints_merge, a_page_that_too_few_have_seen_is_left_out)
{
        struct hint a[] = { TOUCH(1, 10, 0, 0), TOUCH(9, 30, 0, 0) };
        struct hint b[] = { TOUCH(1, 12, 0, 0), TOUCH(8, 13, 0, 0) };
        const struct hints_named           in[] = { RECORDING("a", a), RECORDING("b", b) };
        _cleanup_(hints_free) struct hints h = { 0 };

        cr_assert_eq(hints_merge(in, 2, 2, &h, NULL), 0);
        cr_assert(h.nr == 1 && h.min_seen == 2);
        assert_hint(&h.v[0], 1, 2, 10, 0, 0);
}

/* Page 5: phases 0, 1, 1: its median is in phase 1, though its time there is less than another's in phase 0. */
Test(hints_merge, the_phase_is_that_of_the_median_and_phases_come_before_times)
{
        struct hint a[] = { TOUCH(5, 300, 0, 0), TOUCH(6, 900, 1, 0) };
        struct hint b[] = { TOUCH(7, 1000, 0, 0), TOUCH(5, 500, 1, 0), TOUCH(6, 600, 2, 0) };
        struct hint c[] = { TOUCH(7, 400, 0, 0), TOUCH(5, 450, 1, 0), TOUCH(6, 800, 1, 0) };
        const struct hints_named           in[] = { RECORDING("a", a), RECORDING("b", b), RECORDING("c", c) };
        _cleanup_(hints_free) struct hints h = { 0 };
        struct err                         e = { 0 };

        cr_assert_eq(hints_merge(in, 3, 1, &h, &e), 0, "%s", e.text);
        cr_assert_eq(h.nr, 3);
        assert_hint(&h.v[0], 7, 2, 400, 0, 0);
        assert_hint(&h.v[1], 5, 3, 450, 1, 0);
        assert_hint(&h.v[2], 6, 3, 900, 1, 0);
        cr_assert_eq(hints_check(&h, "merged", &e), 0, "%s", e.text);
}

Test(hints_merge, a_flag_is_set_where_at_least_half_of_those_who_saw_the_page_have_it)
{
        struct hint a[] = { TOUCH(1, 1, 0, HINT_WRITTEN), TOUCH(2, 2, 0, HINT_DIFFERS), TOUCH(3, 3, 0, HINT_ZERO) };
        struct hint b[] = { TOUCH(1, 1, 0, 0), TOUCH(2, 2, 0, 0), TOUCH(3, 3, 0, HINT_ZERO) };
        struct hint c[] = { TOUCH(2, 2, 0, 0) };
        const struct hints_named           in[] = { RECORDING("a", a), RECORDING("b", b), RECORDING("c", c) };
        _cleanup_(hints_free) struct hints h = { 0 };

        cr_assert_eq(hints_merge(in, 3, 1, &h, NULL), 0);
        assert_hint(&h.v[0], 1, 2, 1, 0, HINT_WRITTEN);
        assert_hint(&h.v[1], 2, 3, 2, 0, 0);
        assert_hint(&h.v[2], 3, 2, 3, 0, HINT_ZERO);
}

/* Version 1 of the file: their order is all that is known. */
Test(hints_merge, without_times_the_place_in_the_recording_decides)
{
        struct hint a[] = { TOUCH(30, 0, 0, 0), TOUCH(20, 0, 0, 0), TOUCH(10, 0, 0, 0) };
        struct hint b[] = { TOUCH(30, 0, 0, 0), TOUCH(10, 0, 0, 0), TOUCH(20, 0, 0, 0) };
        struct hint c[] = { TOUCH(30, 0, 0, 0), TOUCH(10, 0, 0, 0), TOUCH(20, 0, 0, 0) };
        const struct hints_named           in[] = { RECORDING("a", a), RECORDING("b", b), RECORDING("c", c) };
        _cleanup_(hints_free) struct hints h = { 0 };

        cr_assert_eq(hints_merge(in, 3, 1, &h, NULL), 0);
        cr_assert(h.nr == 3 && h.v[0].page == 30 && h.v[1].page == 10 && h.v[2].page == 20);
}

Test(hints_merge, recordings_of_two_snapshots_are_refused_with_both_files_and_identities)
{
        struct hint        a[] = { TOUCH(1, 1, 0, 0) };
        struct hints_named in[] = { RECORDING("one", a), RECORDING("two", a) };
        struct hints       h = { .nr = 77 };
        struct err         e = { 0 };

        in[1].hints.snapshot = (struct identity)OTHER_ID;
        cr_assert_eq(hints_merge(in, 2, 1, &h, &e), -EBADMSG);
        cr_assert(e.kind == ERR_SNAPSHOT && h.nr == 77);
        cr_assert(strstr(e.text, "two: ") && strstr(e.text, "one") && strstr(e.text, in[0].hints.snapshot.s) &&
                  strstr(e.text, in[1].hints.snapshot.s),
                  "%s", e.text);
        in[1].hints.snapshot = in[0].hints.snapshot;
        in[1].hints.ram_pages = 101;
        cr_assert_eq(hints_merge(in, 2, 1, &h, &e), -EBADMSG);
        cr_assert(strstr(e.text, "expected hints for 100 RAM pages, as one has them, found them for 101"), "%s", e.text);
}

Test(hints_merge, hints_that_are_merged_already_are_refused)
{
        struct hint        a[] = { TOUCH(1, 1, 0, 0) };
        struct hints_named in[] = { RECORDING("one", a), RECORDING("merged", a) };
        struct hints       h;
        struct err         e = { 0 };

        in[1].hints.recordings = 5;
        cr_assert_eq(hints_merge(in, 2, 1, &h, &e), -EBADMSG);
        cr_assert(strstr(e.text, "merged: expected the recording of one run, found hints of 5"), "%s", e.text);
}

Test(hints_merge, recordings_with_times_and_without_are_refused_together)
{
        struct hint        a[] = { TOUCH(1, 1, 0, 0) }, b[] = { TOUCH(1, 0, 0, 0) };
        struct hints_named in[] = { RECORDING("new", a), RECORDING("old", b) };
        struct hints       h;
        struct err         e = { 0 };

        cr_assert_eq(hints_merge(in, 2, 1, &h, &e), -EBADMSG);
        cr_assert(strstr(e.text, "old: expected the times of touches in all files or in none"), "%s", e.text);
}

Test(hints_merge, a_recording_of_nothing_counts_as_a_run_that_touched_nothing)
{
        struct hint        a[] = { TOUCH(1, 1, 0, 0) };
        struct hints_named in[] = { RECORDING("one", a), RECORDING("none", a) };
        _cleanup_(hints_free) struct hints h = { 0 };

        in[1].hints.nr = 0;
        cr_assert_eq(hints_merge(in, 2, 1, &h, NULL), 0);
        cr_assert(h.nr == 1 && h.recordings == 2 && h.v[0].seen == 1);
}
