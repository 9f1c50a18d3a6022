/* The table on the terminal: what it shows, how wide it gets, and that nobody's name moves the cursor. */
#include "bench/report/report.h"

#include "bench/model/result_json.h"
#include "bench/report/text.h"
#include "tests/unit/bench/golden.h"
#include "tests/unit/bench/sample_results.h"

static const char *const kinds[BENCH_KINDS] = {"restore", "faults", "populate", "fanout"};

static char *table_of(const struct bench_result *r, const struct bench_look *look, size_t *ret_bytes)
{
        char *text = NULL;
        FILE *f = open_memstream(&text, ret_bytes);

        bench_table_print(f, r, look);
        fclose(f);
        return text;
}

static void expect_lines(char *text, size_t width, bool ascii)
{
        for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                cr_assert_leq(text_width(line), width, "%zu columns: %s", text_width(line), line);
                for (const char *c = line; *c; c++)
                        cr_assert(!ascii || ((unsigned char)*c >= 0x20 && (unsigned char)*c < 0x7f), "byte %#x: %s", (unsigned char)*c, line);
        }
}

Test(table, of_every_kind_is_as_ever)
{
        const struct bench_look look = {.columns = 100, .utf8 = true};

        for (int kind = 0; kind < BENCH_KINDS; kind++) {
                struct bench_result  r;
                struct err           e = {0};
                size_t               bytes;
                _cleanup_free_ char *text = NULL;
                char                 path[60], name[40];

                snprintf(path, sizeof(path), GOLDEN_DIR "%s.json", kinds[kind]);
                snprintf(name, sizeof(name), "%s.txt", kinds[kind]);
                cr_assert_eq(bench_json_read(path, &r, &e), 0, "%s", e.text);
                text = table_of(&r, &look, &bytes);
                golden_expect(name, text, bytes);
                bench_result_free(&r);
        }
}

Test(table, fits_100_columns_and_less_whatever_arms_are_called)
{
        static const unsigned widths[] = {100, 80, 60};
        static const char    *names[] = {"a name that goes on and on for much longer than any sensible name of an arm ever would, with no end in sight",
                                         "ein-sehr-langer-pfad-ohne-leerzeichen/der/nirgends/umgebrochen/werden/kann/und/laenger/als/hundert/spalten/ist/ja/wirklich",
                                         "日本語の名前日本語の名前日本語の名前日本語の名前日本語の名前日本語の名前日本語の名前日本語の名前"};

        for (size_t w = 0; w < 3; w++)
                for (size_t n = 0; n < 6; n++) {
                        const struct bench_look look = {.columns = widths[w], .utf8 = n < 3};
                        struct bench_result     r;
                        size_t                  bytes;
                        _cleanup_free_ char    *text = NULL;

                        sample_result(BENCH_RESTORE, &r);
                        bench_string_set(&r.groups[0].name, names[n % 3]);
                        bench_string_set(&r.groups[0].arms[0].name, names[n % 3]);
                        bench_string_set(&r.groups[0].references[0], names[n % 3]);
                        bench_string_set(&r.groups[1].arms[4].failure, names[n % 3]);
                        bench_string_set(&r.command, names[n % 3]);
                        text = table_of(&r, &look, &bytes);
                        expect_lines(text, widths[w], n >= 3);
                        bench_result_free(&r);
                }
}

Test(table, has_no_escape_sequence_without_a_terminal_and_none_of_others_with_one)
{
        struct bench_result  r;
        size_t               bytes;
        _cleanup_free_ char *plain = NULL, *coloured = NULL;

        sample_result(BENCH_RESTORE, &r);
        bench_string_set(&r.groups[0].arms[2].name, "evil\033[2J\033]0;title\a\xc2\x9b" "31m");
        bench_string_set(&r.groups[0].arms[2].metrics[1].id, "evil\033[3J");
        bench_string_set(&r.groups[0].arms[2].metrics[2].unit, "evil\033[4J");
        bench_string_set(&r.groups[0].arms[0].metrics[0].unit, "evil\033[5J");
        bench_string_set(&r.floors.arms[0].metrics[0].unit, "evil\033[6J");
        plain = table_of(&r, &(struct bench_look){.columns = 100, .utf8 = true}, &bytes);
        cr_assert_null(strchr(plain, '\033'));
        cr_assert(strstr(plain, "evil?[2J?]0;title??31m"), "%s", plain);
        coloured = table_of(&r, &(struct bench_look){.columns = 100, .utf8 = true, .colour = true}, &bytes);
        cr_assert_not_null(strstr(coloured, "\033[1m"));
        cr_assert_null(strstr(coloured, "\033[2J"));
        bench_result_free(&r);
}

Test(table, says_what_failed_and_what_was_not_cold)
{
        struct bench_result  r;
        size_t               bytes;
        _cleanup_free_ char *text = NULL;

        sample_result(BENCH_RESTORE, &r);
        text = table_of(&r, &(struct bench_look){.columns = 100}, &bytes);
        cr_assert(strstr(text, "mmap: 2 runs were not cold and thrown away"), "%s", text);
        cr_assert(strstr(text, "1 run failed and gave no values; the first: exit 1"), "%s", text);
        bench_result_free(&r);
}

Test(table, says_that_two_arms_cannot_be_told_apart_and_how_many_runs_it_would_take)
{
        struct bench_result  r;
        size_t               bytes;
        _cleanup_free_ char *text = NULL;

        sample_result(BENCH_RESTORE, &r);
        text = table_of(&r, &(struct bench_look){.columns = 100}, &bytes);
        cr_assert(strstr(text, "can't tell lazy from mmap (20 runs; about "), "%s", text);
        bench_result_free(&r);
}

Test(table, of_three_rounds_claims_no_interval)
{
        struct bench_result  r;
        size_t               bytes;
        _cleanup_free_ char *text = NULL;

        sample_result(BENCH_POPULATE, &r);
        text = table_of(&r, &(struct bench_look){.columns = 100}, &bytes);
        cr_assert(strstr(text, "can't tell copy, 2 MiB from memcpy (3 runs; about 6 would)"), "%s", text);
        cr_assert(strstr(text, "lz4: 3 runs failed"), "%s", text);
        bench_result_free(&r);
}

Test(table, of_nothing_is_no_error)
{
        struct bench_result  r = {0};
        size_t               bytes;
        _cleanup_free_ char *text = NULL;

        bench_group_get(&r, "empty");
        text = table_of(&r, &(struct bench_look){.columns = 100}, &bytes);
        cr_assert(strstr(text, "no run of any arm gave a value"), "%s", text);
        bench_result_free(&r);
}
