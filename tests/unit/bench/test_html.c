/* The page: its bytes, what is escaped in it, and that it asks for nothing from anywhere. tests/e2e/test_bench_page.c looks at it
 * in a browser. */
#include "bench/report/html.h"

#include "bench/model/result_json.h"
#include "tests/unit/bench/golden.h"
#include "tests/unit/bench/sample_results.h"

static const char *const kinds[BENCH_KINDS] = {"restore", "faults", "populate", "fanout"};

static char *page_of(const struct bench_result *r, size_t *ret_bytes)
{
        char *text = NULL;
        FILE *f = open_memstream(&text, ret_bytes);

        bench_html_write(f, r);
        fclose(f);
        return text;
}

Test(html, of_every_kind_is_as_ever)
{
        for (int kind = 0; kind < BENCH_KINDS; kind++) {
                struct bench_result  r;
                struct err           e = {0};
                size_t               bytes;
                _cleanup_free_ char *text = NULL;
                char                 path[60], name[40];

                snprintf(path, sizeof(path), GOLDEN_DIR "%s.json", kinds[kind]);
                snprintf(name, sizeof(name), "%s.html", kinds[kind]);
                cr_assert_eq(bench_json_read(path, &r, &e), 0, "%s", e.text);
                text = page_of(&r, &bytes);
                golden_expect(name, text, bytes);
                bench_result_free(&r);
        }
}

#define EVIL "\"'><script>alert(1)</script>&\n\033[2J\xe2\x80\xae.\xe2\x80\xac\xff"

/* Wherever a result has text. */
Test(html, no_text_of_a_result_is_ever_markup)
{
        struct bench_result  r;
        size_t               bytes, at = 0;
        _cleanup_free_ char *text = NULL;
        struct bench_group  *g;

        sample_result(BENCH_RESTORE, &r);
        g = &r.groups[0];
        bench_string_set(&r.command, EVIL);
        bench_string_set(&r.commit, EVIL);
        bench_string_set(&r.rouse_version, EVIL);
        bench_string_set(&r.machine[0].name, EVIL);
        bench_string_set(&r.machine[0].value, EVIL);
        bench_string_set(&g->name, EVIL);
        bench_string_set(&g->subject, EVIL);
        bench_string_set(&g->references[0], EVIL);
        bench_string_set(&g->arms[0].name, EVIL);
        bench_string_set(&g->arms[2].name, EVIL "2");
        bench_string_set(&g->arms[2].what, EVIL);
        bench_string_set(&g->arms[1].no_timeline, EVIL);
        bench_string_set(&g->arms[2].failure, EVIL);
        g->arms[2].runs_failed = 1;
        bench_string_set(&g->arms[2].metrics[3].id, EVIL);
        bench_string_set(&g->arms[2].metrics[3].unit, EVIL);
        bench_string_set(&r.floors.arms[0].name, EVIL);
        bench_string_set(&r.floors.arms[0].what, EVIL);
        bench_string_set(&r.floors.arms[0].metrics[0].unit, EVIL);
        bench_word_add(g, "%s", EVIL);
        for (size_t i = 0; i < g->nr_arms; i++)
                bench_string_set(&g->arms[i].metrics[0].unit, EVIL);
        text = page_of(&r, &bytes);
        cr_assert_null(strcasestr(text, "<script"));
        cr_assert_null(strstr(text, (const char[]){'\xe2', '\x80', '\xae', 0})); /* turns text around */
        cr_assert_null(strchr(text, '\033'));
        for (const char *s = text; (s = strstr(s, "alert(1)")); s++)
                at++;
        cr_assert_geq(at, 20, "%zu", at);
        bench_result_free(&r);
}

Test(html, a_page_asks_for_nothing_and_its_policy_forbids_it)
{
        struct bench_result  r;
        size_t               bytes;
        _cleanup_free_ char *text = NULL;

        sample_result(BENCH_RESTORE, &r);
        text = page_of(&r, &bytes);
        cr_assert_not_null(strstr(text, "default-src 'none'"));
        cr_assert_null(strstr(text, "http:"));
        cr_assert_null(strstr(text, "https:"));
        cr_assert_null(strstr(text, "url("));
        cr_assert_null(strstr(text, "<script"));
        bench_result_free(&r);
}

Test(html, a_timeline_of_a_million_pages_is_thinned_to_what_can_be_seen)
{
        struct bench_result r;
        struct draws        d = {5};
        size_t              bytes;
        char               *text;

        sample_result(BENCH_RESTORE, &r);
        for (unsigned i = 0; i < 1000000; i++) {
                struct bench_fault f = {.t_us = 10000 + i * 3, .gpa = (uint64_t)(draw_uniform(&d) * (4ULL << 30)), .pages = 1, .fault_class = (uint8_t)(i % BENCH_FAULT_CLASSES)};

                bench_fault_add(&r.groups[0].arms[2], &f);
        }
        text = page_of(&r, &bytes);
        cr_assert_lt(bytes, 6 << 20, "%zu bytes", bytes);
        free(text);
        bench_result_free(&r);
}

Test(html, of_nothing_is_a_page_too)
{
        struct bench_result  r = {0};
        size_t               bytes;
        _cleanup_free_ char *text = NULL;

        bench_group_get(&r, "empty");
        text = page_of(&r, &bytes);
        cr_assert_not_null(strstr(text, "No run of any arm gave a value."));
        cr_assert_not_null(strstr(text, "</html>"));
        bench_result_free(&r);
}
