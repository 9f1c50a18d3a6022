/* rouse bench report and rouse bench compare as scripts call them: what they print where, what they write, how they end. */
#include "core/base/cleanup.h"
#include "core/control/json_text.h"
#include "tests/support/child.h"
#include "tests/support/json_schema.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define RESTORE "tests/data/bench/restore.json"
#define FAULTS  "tests/data/bench/faults.json"
#define POPULATE "tests/data/bench/populate.json"

static struct child bench(const char *const *words)
{
        const char *argv[16] = {rouse_program(), "bench"};
        size_t      n = 2;

        while (*words)
                argv[n++] = *words++;
        return child_run(60000, argv);
}
#define BENCH(...) bench((const char *const[]){__VA_ARGS__, NULL})

static void expect_status(struct child c, int status, const char *on_stderr)
{
        cr_assert_eq(c.status, status, "ended with %d: %s%s", c.status, c.out, c.err);
        if (on_stderr)
                cr_assert(strstr(c.err, on_stderr), "expected '%s' in '%s'", on_stderr, c.err);
        child_free(&c);
}

/* tests/data's restore with this arm's T3 in all groups multiplied. */
static void write_changed(const char *path, const char *arm, const char *metric, double times)
{
        struct json_object *doc = json_object_from_file(RESTORE), *groups = json_at(doc, "groups");

        for (size_t g = 0; g < json_object_array_length(groups); g++) {
                struct json_object *arms = json_at(json_object_array_get_idx(groups, g), "arms");

                for (size_t a = 0; a < json_object_array_length(arms); a++) {
                        struct json_object *o = json_object_array_get_idx(arms, a), *metrics = json_at(o, "metrics");

                        for (size_t m = 0; m < json_object_array_length(metrics); m++) {
                                struct json_object *metric_o = json_object_array_get_idx(metrics, m),
                                                   *values = json_at(metric_o, "values");

                                if (strcmp(json_object_get_string(json_at(o, "name")), arm) ||
                                    strcmp(json_object_get_string(json_at(metric_o, "id")), metric))
                                        continue;
                                for (size_t i = 0; i < json_object_array_length(values); i++) {
                                        struct json_object *pair = json_object_array_get_idx(values, i);

                                        json_object_array_put_idx(pair, 1,
                                                                  json_object_new_double(times * json_object_get_double(json_object_array_get_idx(pair, 1))));
                                }
                        }
                }
        }
        cr_assert_eq(json_object_to_file(path, doc), 0);
        json_object_put(doc);
}

Test(bench_reports, comparing_a_file_with_itself_ends_with_0_and_says_that_nothing_changed)
{
        struct child c = BENCH("compare", RESTORE, RESTORE);

        cr_assert_eq(c.status, 0, "%s", c.err);
        cr_assert(strstr(c.out, "No change beyond noise in "), "%s", c.out);
        cr_assert(strstr(c.out, "0 regressions over 5 %"), "%s", c.out);
        child_free(&c);
}

Test(bench_reports, results_of_which_nothing_can_be_told_end_with_1_and_not_with_no_change)
{
        struct child c = BENCH("compare", POPULATE, POPULATE);

        cr_assert_eq(c.status, 1, "%s", c.out);
        cr_assert(strstr(c.err, "too few runs to tell anything"), "%s", c.err);
        cr_assert(strstr(c.out, "Nothing can be told: all "), "%s", c.out);
        cr_assert_null(strstr(c.out, "No change"), "%s", c.out);
        cr_assert_null(strstr(c.out, "regressions"), "%s", c.out);
        child_free(&c);
}

Test(bench_reports, an_arm_20_percent_slower_ends_with_3_unless_the_threshold_allows_it)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           slow[PATH_MAX + 20];
        struct child                   c;

        snprintf(slow, sizeof(slow), "%s/slow.json", t.path);
        write_changed(slow, "hints", "t3", 1.2);
        c = BENCH("compare", RESTORE, slow);
        cr_assert_eq(c.status, 3, "%s", c.err);
        cr_assert(strstr(c.out, "worse by 20.0 %: regression"), "%s", c.out);
        cr_assert(strstr(c.out, "2 regressions over 5 %"), "%s", c.out);
        child_free(&c);
        expect_status(BENCH("compare", RESTORE, slow, "--threshold", "25"), 0, NULL);
        expect_status(BENCH("compare", slow, RESTORE), 0, NULL); /* the other way round it is better */
}

Test(bench_reports, a_comparison_as_json_is_one_document_that_fits_its_schema)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           slow[PATH_MAX + 20], out[PATH_MAX + 20];
        struct child                   c;

        snprintf(slow, sizeof(slow), "%s/slow.json", t.path);
        snprintf(out, sizeof(out), "%s/out.json", t.path);
        write_changed(slow, "lazy", "t3", 1.3);
        c = BENCH("compare", "--json", RESTORE, slow);
        cr_assert_eq(c.status, 3, "%s", c.err);
        tmpdir_write(&t, "out.json", c.out, c.out_len);
        json_schema_expect("bench/schema/comparison-1.json", out);
        child_free(&c);
}

Test(bench_reports, wrong_words_end_with_2_and_unreadable_files_with_1)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           bad[PATH_MAX + 20];

        snprintf(bad, sizeof(bad), "%s/bad.json", t.path);
        tmpdir_write(&t, "bad.json", "{\"schema\":", 10);
        expect_status(BENCH("compare", RESTORE), 2, "expected two files, found 1");
        expect_status(BENCH("compare", RESTORE, RESTORE, "--threshold", "-3"), 2, "expected a number of percent");
        expect_status(BENCH("compare", RESTORE, RESTORE, "--odd"), 2, "unknown option --odd");
        expect_status(BENCH("compare", RESTORE, FAULTS), 2, "of different benches: restore and faults");
        expect_status(BENCH("compare", RESTORE, "/nonexistent.json"), 1, "/nonexistent.json: No such file");
        expect_status(BENCH("compare", RESTORE, bad), 1, "bad.json: offset 10: expected JSON");
        expect_status(BENCH("report"), 2, "expected one file, found 0");
        expect_status(BENCH("report", bad), 1, "bad.json");
        expect_status(BENCH("report", RESTORE, "--html", "/nonexistent/page.html"), 1, "/nonexistent/page.html: No such file");
}

Test(bench_reports, a_kept_result_is_shown_again_as_table_page_and_json)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           page[PATH_MAX + 20], again[PATH_MAX + 20];
        struct child                   c;
        struct child                   same;

        snprintf(page, sizeof(page), "%s/page.html", t.path);
        snprintf(again, sizeof(again), "%s/again.json", t.path);
        c = BENCH("report", RESTORE, "--html", page, "--json", again);
        cr_assert_eq(c.status, 0, "%s", c.err);
        cr_assert(strstr(c.out, "T3: first byte of the guest (ms; less is better)"), "%s", c.out);
        child_free(&c);
        same = RUN(10000, "cmp", again, RESTORE);
        cr_assert_eq(same.status, 0, "%s", same.out);
        child_free(&same);
        same = RUN(10000, "cmp", page, "tests/data/bench/restore.html");
        cr_assert_eq(same.status, 0, "%s", same.out);
        child_free(&same);
}

Test(bench_reports, json_on_standard_output_stands_there_alone)
{
        struct child        c = BENCH("report", FAULTS, "--json", "-");
        struct json_object *doc;

        cr_assert_eq(c.status, 0, "%s", c.err);
        doc = json_tokener_parse(c.out);
        cr_assert_not_null(doc, "%s", c.out);
        cr_assert_eq(c.out[0], '{');
        cr_assert_str_empty(c.err);
        json_object_put(doc);
        child_free(&c);
}
