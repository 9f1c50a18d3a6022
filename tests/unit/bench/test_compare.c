/* Two results, and what is said to have changed: nothing where nothing did, what did where it did, and not what only the machine
 * did. */
#include "bench/report/compare.h"

#include "tests/support/json_schema.h"
#include "tests/support/tmpdir.h"
#include "tests/unit/bench/sample_results.h"

#include <criterion/criterion.h>
#include <string.h>

/* One session of measuring: how slow the machine was, and how slow one arm. */
struct session {
        double   machine, disk; /* what all times, and the disk's floor, are multiplied by */
        double   hints;   /* the arm of that name alone */
        double   all;     /* what every arm shares and the floors do not feel */
        uint32_t rounds;
        bool     no_floors, no_references;
};

static const char *const arm_names[] = {"eager", "mmap", "lazy", "hints", "auto"};

static void measure(struct draws *d, const struct session *s, struct bench_result *r)
{
        struct bench_group *g;

        sample_facts(r, BENCH_RESTORE, "rouse bench restore web");
        g = bench_group_get(r, "web, warm");
        bench_string_set(&g->first_metric, "t3");
        if (!s->no_references)
                bench_string_set(&g->references[0], "eager");
        for (size_t i = 0; i < 5; i++) {
                struct bench_arm *a = bench_arm_get(g, arm_names[i]);
                double            slow = s->machine * s->all * (strcmp(arm_names[i], "hints") ? 1 : s->hints), t3 = (90000 - 12000.0 * (double)i) * slow;

                sample_values(a, "t3", "us", BENCH_LOWER, d, s->rounds, t3, 0.05);
                sample_values(a, "t4", "us", BENCH_LOWER, d, s->rounds, t3 * 1.4, 0.05);
                sample_values(a, "cpu", "us", BENCH_LOWER, d, s->rounds, t3 * 0.8, 0.1);
                sample_values(a, "faults.demand", "pages", BENCH_LOWER, d, s->rounds, 1000, 0.08);
                sample_values(a, "bytes.read", "bytes", BENCH_NEITHER, d, s->rounds, 40 << 20, 0.02);
                sample_values(a, "rss_peak", "bytes", BENCH_LOWER, d, s->rounds, 40 << 20, 0.01);
        }
        if (s->no_floors)
                return;
        sample_floor(r, "KVM calls", "", "time", "us", BENCH_LOWER, d, 2100 * s->machine);
        sample_floor(r, "UFFDIO_COPY", "", "time", "us", BENCH_LOWER, d, 5.2 * s->machine);
        sample_floor(r, "memcpy", "", "rate", "bytes/s", BENCH_HIGHER, d, 9e9 / s->machine);
        sample_floor(r, "O_DIRECT", "", "rate", "bytes/s", BENCH_HIGHER, d, 2e9 / s->disk);
}

static const struct session quiet = {1, 1, 1, 1, 20, false, false};

/* The comparison of two sessions; its rows' names are those of *ret_a. */
static void compare_sessions(uint64_t seed, const struct session *sa, const struct session *sb, struct bench_result *ret_a,
                             struct bench_result *ret_b, struct comparison *ret)
{
        struct draws d = {seed};

        measure(&d, sa, ret_a);
        measure(&d, sb, ret_b);
        compare_results(ret_a, ret_b, COMPARE_THRESHOLD_PERCENT, ret);
}

static size_t count(const struct comparison *c, enum compare_verdict v)
{
        size_t n = 0;

        for (size_t i = 0; i < c->nr_rows; i++)
                n += c->rows[i].verdict == v;
        return n;
}

static const struct compare_row *row_of(const struct comparison *c, const char *arm, const char *metric)
{
        for (size_t i = 0; i < c->nr_rows; i++)
                if (strcmp(c->rows[i].arm->name, arm) == 0 && strcmp(c->rows[i].a->id, metric) == 0)
                        return &c->rows[i];
        cr_assert_fail("no row %s %s", arm, metric);
        return NULL;
}

static bool noted(const struct comparison *c, const char *text)
{
        for (size_t i = 0; i < c->nr_notes; i++)
                if (strstr(c->notes[i], text))
                        return true;
        return false;
}

static void done(struct bench_result *a, struct bench_result *b, struct comparison *c)
{
        compare_free(c);
        bench_result_free(a);
        bench_result_free(b);
}

Test(compare, a_result_with_itself_has_no_change)
{
        struct bench_result a;
        struct comparison   c;

        sample_result(BENCH_RESTORE, &a);
        compare_results(&a, &a, 0, &c);
        cr_assert_gt(c.nr_rows, 50);
        cr_assert_eq(count(&c, COMPARE_SAME), c.nr_rows);
        cr_assert_eq(c.nr_regressions, 0);
        cr_assert_eq(c.nr_notes, 0, "%s", c.nr_notes ? c.notes[0] : "");
        compare_free(&c);
        bench_result_free(&a);
}

Test(compare, two_runs_of_the_same_report_no_change_in_20_tries)
{
        for (uint64_t seed = 1; seed <= 20; seed++) {
                struct bench_result a, b;
                struct comparison   c;

                compare_sessions(seed, &quiet, &quiet, &a, &b, &c);
                cr_assert_eq(c.nr_rows, 30);
                cr_assert_eq(count(&c, COMPARE_SAME), c.nr_rows, "seed %llu", (unsigned long long)seed);
                done(&a, &b, &c);
        }
}

/* 200 more comparisons of the same: at most 1 of 100 tries may say otherwise by how the test is made; 6 of 200 would be three
 * times that. */
Test(compare, false_alarms_are_as_rare_as_they_are_said_to_be)
{
        unsigned alarms = 0;

        for (uint64_t seed = 1000; seed < 1200; seed++) {
                struct bench_result a, b;
                struct comparison   c;

                compare_sessions(seed, &quiet, &quiet, &a, &b, &c);
                alarms += count(&c, COMPARE_SAME) != c.nr_rows;
                done(&a, &b, &c);
        }
        cr_assert_leq(alarms, 5, "%u of 200", alarms);
}

Test(compare, an_arm_made_20_percent_slower_is_found_and_the_others_are_not)
{
        struct session slower = quiet;

        slower.hints = 1.2;
        for (uint64_t seed = 1; seed <= 20; seed++) {
                struct bench_result       a, b;
                struct comparison         c;
                const struct compare_row *row;

                compare_sessions(seed, &quiet, &slower, &a, &b, &c);
                row = row_of(&c, "hints", "t3");
                cr_assert_eq(row->verdict, COMPARE_WORSE, "seed %llu: %s", (unsigned long long)seed,
                             compare_verdict_word(row->verdict));
                cr_assert(row->regression);
                cr_assert(row->percent > 10 && row->percent < 30, "%g", row->percent);
                cr_assert_eq(row_of(&c, "mmap", "t3")->verdict, COMPARE_SAME);
                cr_assert_eq(row_of(&c, "hints", "rss_peak")->verdict, COMPARE_SAME);
                cr_assert(c.nr_regressions >= 1 && c.nr_regressions <= 3, "%zu", c.nr_regressions);
                done(&a, &b, &c);
        }
}

Test(compare, an_arm_made_faster_is_better_and_no_regression)
{
        struct session      faster = quiet;
        struct bench_result a, b;
        struct comparison   c;

        faster.hints = 0.8;
        compare_sessions(3, &quiet, &faster, &a, &b, &c);
        cr_assert_eq(row_of(&c, "hints", "t3")->verdict, COMPARE_BETTER);
        cr_assert_eq(c.nr_regressions, 0);
        done(&a, &b, &c);
}

Test(compare, a_rate_that_falls_is_worse_and_one_that_rises_is_better)
{
        for (int rises = 0; rises < 2; rises++) {
                struct draws        d = {4};
                struct bench_result a, b;
                struct comparison   c;

                sample_facts(&a, BENCH_POPULATE, "");
                sample_facts(&b, BENCH_POPULATE, "");
                sample_values(bench_arm_get(bench_group_get(&a, "g"), "copy"), "rate", "bytes/s", BENCH_HIGHER, &d, 20, 4e9,
                              0.03);
                sample_values(bench_arm_get(bench_group_get(&b, "g"), "copy"), "rate", "bytes/s", BENCH_HIGHER, &d, 20,
                              rises ? 5e9 : 3e9, 0.03);
                compare_results(&a, &b, 5, &c);
                cr_assert_eq(c.rows[0].verdict, rises ? COMPARE_BETTER : COMPARE_WORSE);
                cr_assert_eq(c.nr_regressions, rises ? 0 : 1);
                done(&a, &b, &c);
        }
}

/* What fcvm saw: runs of one session agree, and the next session is elsewhere. */
Test(compare, a_machine_that_is_slower_as_a_whole_is_no_regression)
{
        struct session      slow = quiet;
        struct bench_result a, b;
        struct comparison   c;

        slow.machine = slow.disk = 1.25;
        compare_sessions(5, &quiet, &slow, &a, &b, &c);
        cr_assert_eq(c.nr_floors, 4);
        cr_assert_float_eq(c.machine, 1.25, 0.05);
        cr_assert_eq(row_of(&c, "hints", "t3")->verdict, COMPARE_MACHINE);
        cr_assert_eq(c.nr_regressions, 0);
        cr_assert_eq(count(&c, COMPARE_WORSE), 0);
        done(&a, &b, &c);
}

Test(compare, an_arm_that_is_slower_beyond_a_slower_machine_is_found_by_that_much)
{
        struct session      slow = quiet;
        struct bench_result a, b;
        struct comparison   c;

        slow.machine = slow.disk = 1.25;
        slow.hints = 1.3;
        compare_sessions(6, &quiet, &slow, &a, &b, &c);
        cr_assert_eq(row_of(&c, "hints", "t3")->verdict, COMPARE_WORSE);
        cr_assert(row_of(&c, "hints", "t3")->percent > 15 &&
                  row_of(&c, "hints", "t3")->percent < 45, "%g", row_of(&c, "hints", "t3")->percent);
        cr_assert_eq(row_of(&c, "lazy", "t3")->verdict, COMPARE_MACHINE);
        done(&a, &b, &c);
}

Test(compare, one_floor_that_went_its_own_way_hides_nothing)
{
        struct session      busy_disk = quiet;
        struct bench_result a, b;
        struct comparison   c;

        busy_disk.disk = 3;
        busy_disk.hints = 1.2;
        compare_sessions(7, &quiet, &busy_disk, &a, &b, &c);
        cr_assert_eq(row_of(&c, "hints", "t3")->verdict, COMPARE_WORSE);
        done(&a, &b, &c);
}

Test(compare, without_floors_the_reference_arm_tells_of_the_machine_and_that_is_said)
{
        struct session      before = quiet, slow;
        struct bench_result a, b;
        struct comparison   c;

        before.no_floors = true;
        slow = before;
        slow.machine = 1.25;
        slow.hints = 1.3;
        compare_sessions(8, &before, &slow, &a, &b, &c);
        cr_assert_eq(c.nr_floors, 0);
        cr_assert(noted(&c, "no floors in common"));
        cr_assert_eq(row_of(&c, "lazy", "t3")->verdict, COMPARE_MACHINE);
        cr_assert_eq(row_of(&c, "hints", "t3")->verdict, COMPARE_WORSE);
        done(&a, &b, &c);
}

Test(compare, all_arms_worse_with_floors_as_before_is_a_regression_with_a_warning)
{
        struct session      slow = quiet;
        struct bench_result a, b;
        struct comparison   c;

        slow.all = 1.25;
        compare_sessions(9, &quiet, &slow, &a, &b, &c);
        cr_assert_geq(c.nr_regressions, 5);
        cr_assert(noted(&c, "all 5 arms became worse"));
        done(&a, &b, &c);
}

Test(compare, six_runs_are_too_few_and_that_is_the_answer)
{
        struct session      few = quiet, slower;
        struct bench_result a, b;
        struct comparison   c;

        few.rounds = 6;
        slower = few;
        slower.hints = 2;
        compare_sessions(10, &few, &slower, &a, &b, &c);
        cr_assert_eq(row_of(&c, "hints", "t3")->verdict, COMPARE_TOO_FEW);
        cr_assert_eq(c.nr_regressions, 0);
        done(&a, &b, &c);
}

Test(compare, a_worsening_below_the_threshold_is_told_and_is_no_regression)
{
        struct session      slower = quiet;
        struct draws        d = {11};
        struct bench_result a, b;
        struct comparison   c;

        slower.hints = 1.2;
        measure(&d, &quiet, &a);
        measure(&d, &slower, &b);
        compare_results(&a, &b, 50, &c);
        cr_assert_eq(row_of(&c, "hints", "t3")->verdict, COMPARE_WORSE);
        cr_assert_eq(c.nr_regressions, 0);
        done(&a, &b, &c);
}

Test(compare, what_differs_and_what_only_one_has_is_named)
{
        struct bench_result a, b;
        struct comparison   c;

        sample_result(BENCH_RESTORE, &a);
        sample_result(BENCH_RESTORE, &b);
        bench_string_set(&b.machine[0].value, "another CPU");
        bench_string_set(&b.command, "rouse bench restore elsewhere");
        bench_string_set(&b.groups[0].subject, "/elsewhere");
        bench_string_set(&b.groups[0].arms[2].name, "shared");
        bench_string_set(&b.groups[1].name, "another group");
        b.groups[0].arms[3].metrics[1].nr = 0;
        compare_results(&a, &b, 5, &c);
        cr_assert(noted(&c, "cpu differs: Example CPU"));
        cr_assert(noted(&c, "the command differs"));
        cr_assert(noted(&c, "web & <co>, warm differs: /srv/web & <co> in A, /elsewhere in B"));
        cr_assert(noted(&c, "only A has the arm lazy of"));
        cr_assert(noted(&c, "only B has the arm shared of"));
        cr_assert(noted(&c, "only A has web & <co>, cold"));
        cr_assert(noted(&c, "only B has another group"));
        cr_assert(noted(&c, "only A has values of t4 of the arm hints"));
        done(&a, &b, &c);
}

Test(compare, the_same_command_into_another_file_is_the_same_command)
{
        struct bench_result a, b;
        struct comparison   c;

        sample_result(BENCH_RESTORE, &a);
        sample_result(BENCH_RESTORE, &b);
        bench_fact_add(&a, "load at the start", "0.1");
        bench_string_set(&a.command, "rouse bench restore --cold --json a.json --seed 1 web");
        bench_string_set(&b.command, "rouse bench restore --seed=2 --cold --html b.html web");
        compare_results(&a, &b, 5, &c);
        cr_assert_eq(c.nr_notes, 0, "%s", c.nr_notes ? c.notes[0] : "");
        compare_free(&c);
        bench_string_set(&b.command, "rouse bench restore --seed=2 --html b.html web");
        compare_results(&a, &b, 5, &c);
        cr_assert(noted(&c, "the command differs"));
        done(&a, &b, &c);
}

Test(compare, its_json_fits_the_schema)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct session                 slower = quiet;
        struct bench_result            a, b;
        struct comparison              c;
        char                           path[PATH_MAX + 20];
        FILE                          *f;

        slower.hints = 1.2;
        compare_sessions(12, &quiet, &slower, &a, &b, &c);
        snprintf(path, sizeof(path), "%s/c.json", t.path);
        f = fopen(path, "we");
        compare_json_write(f, &c, "a.json", "b.json");
        cr_assert_eq(fclose(f), 0);
        json_schema_expect("bench/schema/comparison-1.json", path);
        done(&a, &b, &c);
}
