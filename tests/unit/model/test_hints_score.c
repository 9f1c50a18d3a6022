/* test_hints_score: recall, precision and waste, and the summary of hints, worked out by hand. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/model/hints_score.h"
#include "core/model/hints_summary.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define ID { "00112233-4455-4677-8899-aabbccddeeff" }

#define HINT(p, n, ph, fl) { .page = (p), .seen = (n), .touch_us = (p) * 10, .phase = (ph), .flags = (fl) }
#define NAMED(name, n, array) \
        { .file = (name), .hints = { .snapshot = ID, .ram_pages = 100, .recordings = (n), .nr = ARRAY_LEN(array), .v = (array) } }

/* Five recordings: 1 to 4 in every run, 5 in two, 6 and 7 in one each, 8 is zero in the snapshot. */
static struct hint merged[] = { HINT(1, 5, 0, 0), HINT(2, 5, 0, 0), HINT(6, 1, 0, 0), HINT(8, 5, 0, HINT_ZERO),
                                HINT(3, 5, 1, 0), HINT(5, 2, 1, 0), HINT(4, 5, 2, 0), HINT(7, 1, 2, 0) };
/* Another run: 1, 2 and 3 again, 4 not, 6 by chance, 50 that nobody saw, 8 and 9 zero. */
static struct hint judge[] = { HINT(1, 1, 0, 0), HINT(2, 1, 0, 0), HINT(50, 1, 0, 0), HINT(8, 1, 0, HINT_ZERO),
                               HINT(9, 1, 1, HINT_ZERO), HINT(3, 1, 2, 0), HINT(6, 1, 2, 0) };

static const struct hints_named hints = NAMED("hints", 5, merged), run = NAMED("run", 1, judge);

static void assert_counts(const struct hints_score_counts *c, const uint64_t expect[7])
{
        const uint64_t found[] = { c->touched, c->touched_zero, c->recalled, c->foreseeable, c->hinted, c->hinted_zero, c->used };

        for (size_t i = 0; i < ARRAY_LEN(found); i++)
                cr_assert_eq(found[i], expect[i], "count %zu: expected %llu, found %llu", i, (unsigned long long)expect[i],
                             (unsigned long long)found[i]);
}

Test(hints_score, it_counts_what_was_touched_foreseen_and_brought_by_phase)
{
        _cleanup_(hints_foreseen_free) struct hints_foreseen f = { 0 };
        struct hints_score                                   s = { 0 };

        cr_assert_eq(hints_foreseen_init(&f, &hints, NULL, 0, NULL), 0);
        cr_assert(f.known);
        cr_assert_eq(hints_score_add(&hints, 2, &f, &run, &s, NULL), 0);
        /* touched, zero, recalled, foreseeable, hinted, hinted zero, used */
        assert_counts(&s.phase[0], (const uint64_t[]){ 3, 1, 2, 2, 2, 1, 2 });
        assert_counts(&s.phase[1], (const uint64_t[]){ 0, 1, 0, 0, 2, 0, 1 });
        assert_counts(&s.phase[2], (const uint64_t[]){ 2, 0, 1, 2, 1, 0, 0 });
        assert_counts(&s.all, (const uint64_t[]){ 5, 2, 3, 4, 5, 1, 3 });
}

Test(hints_score, every_page_counts_where_one_recording_is_enough)
{
        _cleanup_(hints_foreseen_free) struct hints_foreseen f = { 0 };
        struct hints_score                                   s = { 0 };

        cr_assert_eq(hints_foreseen_init(&f, &hints, NULL, 0, NULL), 0);
        cr_assert_eq(hints_score_add(&hints, 1, &f, &run, &s, NULL), 0);
        assert_counts(&s.all, (const uint64_t[]){ 5, 2, 4, 4, 7, 1, 4 });
}

Test(hints_score, judgements_add_up)
{
        _cleanup_(hints_foreseen_free) struct hints_foreseen f = { 0 };
        struct hints_score                                   s = { 0 };

        cr_assert_eq(hints_foreseen_init(&f, &hints, NULL, 0, NULL), 0);
        for (int i = 0; i < 3; i++)
                cr_assert_eq(hints_score_add(&hints, 2, &f, &run, &s, NULL), 0);
        assert_counts(&s.all, (const uint64_t[]){ 15, 6, 9, 12, 15, 3, 9 });
}

Test(hints_score, what_can_be_foreseen_is_not_known_where_pages_were_left_out_unless_the_recordings_are_named)
{
        struct hint              first[] = { HINT(1, 1, 0, 0), HINT(50, 1, 0, 0) }, second[] = { HINT(6, 1, 0, 0) };
        const struct hints_named from[] = { NAMED("first", 1, first), NAMED("second", 1, second) };
        struct hints_named       cut = hints;
        _cleanup_(hints_foreseen_free) struct hints_foreseen f = { 0 }, named = { 0 };
        struct hints_score       s = { 0 };

        cut.hints.min_seen = 2;
        cr_assert_eq(hints_foreseen_init(&f, &cut, NULL, 0, NULL), 0);
        cr_assert_not(f.known);
        cr_assert_eq(hints_foreseen_init(&named, &cut, from, 2, NULL), 0);
        cr_assert(named.known);
        cr_assert_eq(hints_score_add(&cut, 2, &named, &run, &s, NULL), 0);
        cr_assert_eq(s.all.foreseeable, 3); /* 1, 50 and 6 */
}

Test(hints_score, a_recording_of_another_snapshot_is_refused_with_both_files)
{
        struct hints_named                                   other = run;
        _cleanup_(hints_foreseen_free) struct hints_foreseen f = { 0 };
        struct hints_score                                   s = { 0 };
        struct err                                           e = { 0 };

        other.hints.snapshot.s[0] = 'f';
        cr_assert_eq(hints_foreseen_init(&f, &hints, NULL, 0, NULL), 0);
        cr_assert_eq(hints_score_add(&hints, 1, &f, &other, &s, &e), -EBADMSG);
        cr_assert(strstr(e.text, "run: ") && strstr(e.text, "as hints has them") && strstr(e.text, "f0112233"), "%s", e.text);
        cr_assert_eq(s.all.touched, 0);
}

Test(hints_summary, it_has_pages_runs_kinds_and_times_of_each_phase)
{
        struct hint v[] = { HINT(10, 2, 0, HINT_WRITTEN | HINT_DIFFERS), HINT(11, 1, 0, HINT_DIFFERS), HINT(20, 2, 0, HINT_ZERO),
                            HINT(12, 2, 1, 0), HINT(21, 1, 1, 0), HINT(22, 2, 1, HINT_WRITTEN) };
        struct hints                                       h = { .snapshot = ID, .ram_pages = 100, .recordings = 2,
                                                                 .nr = ARRAY_LEN(v), .v = v };
        _cleanup_(hints_summary_free) struct hints_summary s = { 0 };

        cr_assert_eq(hints_summary_make(&h, &s), 0);
        cr_assert(s.phase[0].pages == 3 && s.phase[1].pages == 3 && s.phase[2].pages == 0 && s.all.pages == 6);
        cr_assert(s.phase[0].runs == 2 && s.phase[1].runs == 2 && s.phase[2].runs == 0 && s.all.runs == 2); /* 10-12 and 20-22 */
        cr_assert(s.phase[0].written == 1 && s.phase[0].differs == 2 && s.phase[0].zero_pages == 1 && s.all.written == 2);
        cr_assert(s.phase[0].first_us == 100 && s.phase[0].last_us == 200 && s.all.last_us == 220 && s.phase[2].last_us == 0);
        cr_assert(s.seen[1] == 2 && s.seen[2] == 4 && s.kept == 6);
}
