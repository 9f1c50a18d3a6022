/* Several results in one place: the tables of a README, and the section that keeps them. */
#include "bench/report/summary.h"

#include "core/base/cleanup.h"
#include "tests/support/tmpdir.h"
#include "tests/unit/bench/golden.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static char *markdown_of(const struct bench_result *v, size_t nr, size_t *ret_len)
{
        char *text = NULL;
        FILE *to = open_memstream(&text, ret_len);

        cr_assert_not_null(to);
        summary_markdown(to, v, nr);
        cr_assert_eq(fclose(to), 0);
        return text;
}

static void add_rounds(struct bench_arm *a, const char *id, const char *unit, double first, uint32_t rounds)
{
        for (uint32_t round = 1; round <= rounds; round++)
                bench_value_add(bench_metric_get(a, id, unit, BENCH_LOWER), round, first + round % 2);
}

static void add(struct bench_arm *a, const char *id, const char *unit, double first)
{
        add_rounds(a, id, unit, first, 8);
}

/* Two arms that can be told apart, one that was never measured, a control, and names that look like markup. */
static struct bench_result make_result(void)
{
        struct bench_result r = {.kind = BENCH_RESTORE, .started_unix_s = 1795800000, .rounds = 8};
        struct bench_group *g = bench_group_get(&r, "web|1, warm");

        bench_string_set(&r.command, "rouse bench restore web --json /tmp/x/r.json --mark 'a`b' --html p.html --cold");
        bench_string_set(&r.rouse_version, "0.1.0");
        bench_string_set(&r.commit, "0123456789ab");
        bench_fact_add(&r, "cpu", "A <fast> CPU");
        bench_fact_add(&r, "cpus", "2");
        bench_fact_add(&r, "kernel", "6.1.0");
        bench_string_set(&g->first_metric, "t3");
        bench_string_set(&g->references[0], "nothing");
        bench_string_set(&g->references[1], "eager");
        add(bench_arm_get(g, "eager"), "t3", "us", 10000);
        add(bench_arm_get(g, "eager"), "rss.end", "bytes", 9 << 20);
        add(bench_arm_get(g, "lazy_1"), "t3", "us", 5000);
        bench_arm_get(g, "nothing");
        g = bench_group_get(&r, "control");
        bench_string_set(&g->first_metric, "t3");
        add(bench_arm_get(g, "eager"), "t3", "us", 10000);
        bench_arm_get(g, "eager")->control = true;
        add(bench_arm_get(&r.floors, "memcpy"), "rate", "bytes/s", 2147483648.0);
        return r;
}

Test(summary, a_group_is_a_table_of_the_arms_that_were_measured_and_names_cannot_break_it)
{
        struct bench_result r = make_result();
        size_t len;
        _cleanup_free_ char *text = markdown_of(&r, 1, &len);

        cr_assert(strstr(text, "2026-11-27; 2 CPUs of A \\<fast\\> CPU, Linux 6.1.0;"), "%s", text);
        cr_assert(strstr(text, ", commit 0123456789ab."), "%s", text);
        cr_assert(strstr(text, "\n`rouse bench restore web --mark 'a b' --cold`, 8 rounds:\n"), "%s", text);
        cr_assert(strstr(text, "**web\\|1, warm**"), "%s", text);
        cr_assert(strstr(text, "| | T3, ms | against eager | RSS end, MiB |\n|---|---|---|---|\n"), "%s", text);
        cr_assert(strstr(text, "| eager | 10.0 (10 – 10.0) | 1 | 9.00 |\n"), "%s", text);
        cr_assert(strstr(text, "| lazy\\_1 | 5.00 (5 – 5.00) | **0.500** (0.500 – 0.500) |  |\n"), "%s", text);
        cr_assert_null(strstr(text, "nothing"), "%s", text);
        cr_assert_null(strstr(text, "**control**"), "%s", text);
        cr_assert(strstr(text, "\nFloors: memcpy 2 GiB/s.\n") || strstr(text, "\nFloors: memcpy 2.00 GiB/s.\n"), "%s", text);
        bench_result_free(&r);
}

/* A column is there for at least half of the arms; a unit is for the smallest figure, unless the largest gets too long in it. */
Test(summary, warm_and_cold_runs_of_a_snapshot_are_one_table_and_another_snapshot_is_another)
{
        static const char *const names[] = {"web, warm", "web, cold", "db, warm"};
        static const char expected[] = "\n**web**. T3: first byte of the guest:\n\n"
                                       "| | | T3, ms | p95, ms | against eager | RSS end, MiB |\n|---|---|---|---|---|---|\n"
                                       "| **warm** | eager | 10.0 (10 – 10.0) | 10.0 | 1 | 2048 |\n"
                                       "| | lazy | 2.00 (2 – 2.00) | 2.00 | **0.200** (0.200 – 0.200) | 8.00 |\n"
                                       "| **cold** | eager | 20.0 (20 – 20.0) | 20.0 | 1 | 2048 |\n"
                                       "| | lazy | 2.00 (2 – 2.00) | 2.00 | **0.100** (0.100 – 0.100) | 8.00 |\n"
                                       "\n**db, warm**. T3";
        struct bench_result r = {.kind = BENCH_RESTORE, .rounds = 20};
        _cleanup_free_ char *text = NULL;
        size_t len;
        FILE *to;

        for (size_t i = 0; i < 3; i++) {
                struct bench_group *g = bench_group_get(&r, names[i]);

                bench_string_set(&g->cache, i == 1 ? "cold" : "warm");
                bench_string_set(&g->first_metric, "t3");
                bench_string_set(&g->references[0], "eager");
                for (int a = 0; a < 2; a++) {
                        struct bench_arm *arm = bench_arm_get(g, a ? "lazy" : "eager");

                        add_rounds(arm, "t3", "us", a ? 2000 : i == 1 ? 20000 : 10000, 20);
                        add_rounds(arm, "rss.end", "bytes", a ? 8388608 : 2147483648.0, 20);
                        if (a && i == 0)
                                add_rounds(arm, "t6", "us", 50000, 20);
                }
        }
        to = open_memstream(&text, &len);
        summary_tables(to, &r);
        fclose(to);
        cr_assert_eq(strncmp(text, expected, strlen(expected)), 0, "%s", text);
        bench_result_free(&r);
}

/* Groups of other references name them in the cell. */
Test(summary, where_groups_of_one_table_have_other_references_each_cell_names_its_own)
{
        struct bench_result r = {.kind = BENCH_POPULATE, .rounds = 8};
        _cleanup_free_ char *text = NULL;
        size_t len;
        FILE *to;

        for (int i = 0; i < 2; i++) {
                struct bench_group *g = bench_group_get(&r, i ? "cold" : "warm");

                bench_string_set(&g->first_metric, "rate");
                bench_string_set(&g->references[0], i ? "disk" : "copy");
                add_rounds(bench_arm_get(g, i ? "disk" : "copy"), "rate", "bytes/s", 2 << 20, 8);
                add_rounds(bench_arm_get(g, "raw"), "rate", "bytes/s", 1 << 20, 8);
        }
        to = open_memstream(&text, &len);
        summary_tables(to, &r);
        fclose(to);
        cr_assert(strstr(text, "| **warm** | copy |") && strstr(text, "**0.500** (0.500 – 0.500) of copy |\n"), "%s", text);
        cr_assert(strstr(text, "| **cold** | disk |") && strstr(text, "**0.500** (0.500 – 0.500) of disk |\n"), "%s", text);
        bench_result_free(&r);
}

static void assert_holds(const char *path, const char *expected)
{
        size_t len;
        _cleanup_free_ char *text = golden_load(path, &len);

        cr_assert_str_eq(text, expected);
}

Test(summary, the_section_between_the_two_lines_is_written_anew_and_nothing_else)
{
        static const char before[] = "# x\n\n<!-- bench: begin -->\nold\n\nfigures\n<!-- bench: end -->\n\nrest <!-- not -->\n";
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct err e = {0};
        char path[4300];

        snprintf(path, sizeof(path), "%s/README.md", t.path);
        tmpdir_write(&t, "README.md", before, strlen(before));
        cr_assert_eq(summary_replace(path, "new\n", &e), 0, "%s", e.text);
        assert_holds(path, "# x\n\n<!-- bench: begin -->\nnew\n<!-- bench: end -->\n\nrest <!-- not -->\n");
        cr_assert_eq(summary_replace(path, "", &e), 0, "%s", e.text);
        assert_holds(path, "# x\n\n<!-- bench: begin -->\n<!-- bench: end -->\n\nrest <!-- not -->\n");
}

Test(summary, a_file_whose_lines_are_missing_doubled_or_turned_round_stays_as_it_was)
{
        static const char *const bad[] = {"", "<!-- bench: begin -->\n", "<!-- bench: end -->\n<!-- bench: begin -->\n",
                                          "<!-- bench: begin -->\n<!-- bench: begin -->\n<!-- bench: end -->\n"};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300];

        snprintf(path, sizeof(path), "%s/README.md", t.path);
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                struct err e = {0};

                tmpdir_write(&t, "README.md", bad[i], strlen(bad[i]));
                cr_assert_eq(summary_replace(path, "new\n", &e), -EBADMSG);
                cr_assert(strstr(e.text, path), "%s", e.text);
                assert_holds(path, bad[i]);
        }
}

Test(summary, the_index_links_pages_and_keeps_the_words_free_of_markup)
{
        struct bench_result r = make_result();
        const char *page = "restore.html", *none = NULL;
        _cleanup_free_ char *with = NULL, *without = NULL;
        size_t len;
        FILE *to;

        bench_word_add(&r.groups[0], "lazy <b>won</b>");
        to = open_memstream(&with, &len);
        summary_index(to, &r, &page, 1);
        fclose(to);
        to = open_memstream(&without, &len);
        summary_index(to, &r, &none, 1);
        fclose(to);
        cr_assert(strstr(with, "<a href=\"restore.html\">"), "%s", with);
        cr_assert_null(strstr(without, "<a href"));
        cr_assert(strstr(with, "lazy &#60;b&#62;won"), "%s", with);
        bench_result_free(&r);
}
