/* A result as JSON: it fits its schema, nothing is lost on the way there and back, and a file of somebody else's is refused with
 * its place. */
#include "bench/model/result_json.h"

#include "tests/support/json_schema.h"
#include "tests/support/tmpdir.h"
#include "tests/unit/bench/golden.h"
#include "tests/unit/bench/sample_results.h"

#include <errno.h>

static const char *const kinds[BENCH_KINDS] = {"restore", "faults", "populate", "fanout"};

static char *written(const struct bench_result *r, size_t *ret_bytes)
{
        char *text = NULL;
        FILE *f = open_memstream(&text, ret_bytes);

        bench_json_write(f, r);
        fclose(f);
        return text;
}

Test(result_json, every_kind_fits_the_schema)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        for (int kind = 0; kind < BENCH_KINDS; kind++) {
                struct bench_result  r;
                size_t               bytes;
                _cleanup_free_ char *text = NULL;
                char                 path[PATH_MAX + 20];

                sample_result((enum bench_kind)kind, &r);
                text = written(&r, &bytes);
                tmpdir_write(&t, "r.json", text, bytes);
                snprintf(path, sizeof(path), "%s/r.json", t.path);
                json_schema_expect("bench/schema/result-1.json", path);
                bench_result_free(&r);
        }
}

Test(result_json, an_empty_result_fits_the_schema_too)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct bench_result            r = {0};
        size_t                         bytes;
        _cleanup_free_ char           *text = written(&r, &bytes);
        char                           path[PATH_MAX + 20];

        tmpdir_write(&t, "r.json", text, bytes);
        snprintf(path, sizeof(path), "%s/r.json", t.path);
        json_schema_expect("bench/schema/result-1.json", path);
}

Test(result_json, the_same_result_gives_the_same_bytes_as_ever)
{
        for (int kind = 0; kind < BENCH_KINDS; kind++) {
                struct bench_result  r;
                size_t               bytes;
                _cleanup_free_ char *text = NULL;
                char                 name[40];

                sample_result((enum bench_kind)kind, &r);
                text = written(&r, &bytes);
                snprintf(name, sizeof(name), "%s.json", kinds[kind]);
                golden_expect(name, text, bytes);
                bench_result_free(&r);
        }
}

Test(result_json, what_is_read_is_written_again_byte_for_byte)
{
        for (int kind = 0; kind < BENCH_KINDS; kind++) {
                struct bench_result  r;
                struct err           e = {0};
                size_t               bytes;
                _cleanup_free_ char *text = NULL;
                char                 path[60], name[40];

                snprintf(name, sizeof(name), "%s.json", kinds[kind]);
                snprintf(path, sizeof(path), GOLDEN_DIR "%s.json", kinds[kind]);
                cr_assert_eq(bench_json_read(path, &r, &e), 0, "%s", e.text);
                text = written(&r, &bytes);
                golden_expect(name, text, bytes);
                bench_result_free(&r);
        }
}

Test(result_json, names_of_any_bytes_come_back_as_text)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct bench_result            r = {0}, back;
        struct err                     e = {0};
        size_t                         bytes;
        _cleanup_free_ char           *text = NULL;
        char                           path[PATH_MAX + 20];

        bench_string_set(&r.command, "a\"b\\c\n\033[2J\xff\xc3\xa9\xed\xa0\x80 \xf0\x9f\x98\x80");
        r.seed = UINT64_MAX;
        text = written(&r, &bytes);
        tmpdir_write(&t, "r.json", text, bytes);
        snprintf(path, sizeof(path), "%s/r.json", t.path);
        cr_assert_eq(bench_json_read(path, &back, &e), 0, "%s", e.text);
        cr_assert_str_eq(back.command,
                         "a\"b\\c\n\033[2J\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xf0\x9f\x98\x80");
        cr_assert_eq(back.seed, UINT64_MAX);
        bench_result_free(&r);
        bench_result_free(&back);
}

#define HEAD                                                                                                                                                       \
        "{\"schema\":\"rouse-bench-result\",\"version\":1,\"kind\":\"restore\",\"command\":\"\",\"rouse_version\":\"\",\"started_unix_s\":0,\"took_s\":0,\"seed\":0," \
        "\"rounds\":0,\"machine\":[],"
#define FLOORS "\"floors\":{\"name\":\"floors\",\"references\":[],\"arms\":[],\"words\":[]},"
#define GROUP(arms) HEAD FLOORS "\"groups\":[{\"name\":\"g\",\"references\":[],\"words\":[],\"arms\":[" arms "]}]}"
#define ARM(more)   "{\"name\":\"a\",\"peer\":false,\"control\":false,\"runs_failed\":0,\"runs_not_cold\":0," more "}"
#define METRIC(values) GROUP(ARM("\"metrics\":[{\"id\":\"t3\",\"unit\":\"us\",\"better\":\"lower\",\"values\":[" values "]}]"))

static const struct {
        const char *text, *found; /* what the one line must hold */
} refused[] = {
        {"", "expected JSON"},
        {"hello", "expected JSON"},
        {"[]", "expected an object, found array"},
        {"{}", "schema: expected string, found nothing"},
        {"{\"schema\":\"other\",\"version\":1}", "schema: expected \"rouse-bench-result\", found \"other\""},
        {"{\"schema\":\"rouse-bench-result\",\"version\":2}", "expected version 1, found 2"},
        {"{\"schema\":\"rouse-bench-result\",\"version\":\"1\"}", "version: expected int, found string"},
        {HEAD FLOORS "\"groups\":{}}", "groups: expected array, found object"},
        {HEAD FLOORS "\"groups\":[1]}", "groups[0]: expected object, found int"},
        {HEAD "\"groups\":[]}", "floors: expected object, found nothing"},
        {GROUP("{\"name\":7}"), "groups[0].arms[0].metrics: expected array, found nothing"},
        {GROUP(ARM("\"metrics\":[]") "," ARM("\"metrics\":[]")), "groups[0].arms[1].name: expected each once, found 'a' again"},
        {METRIC("[0,1],[0]"), "groups[0].arms[0].metrics[0].values[1]: expected 2 elements, found 1"},
        {METRIC("[-1,1]"), "values[0].round: expected a number from 0 to 4294967295, found -1"},
        {METRIC("[4294967296,1]"), "values[0].round: expected a number from 0 to 4294967295"},
        {METRIC("[0,\"x\"]"), "values[0].value: expected a number, found string"},
        {METRIC("[0,1e999]"), "values[0].value: expected a finite number"},
        {METRIC("[0,NaN]"), "expected"},
        {METRIC("[0,1]") "x", "expected JSON"},
        {GROUP(ARM("\"metrics\":[{\"id\":\"t3\",\"unit\":\"us\",\"better\":\"best\",\"values\":[]}]")), "better: expected one of \"lower\" to \"neither\""},
        {GROUP(ARM("\"metrics\":[],\"timeline\":{\"faults\":[[0,0,1,\"odd\"]],\"levels\":[]}")), "timeline.faults[0].class: expected one of"},
        {GROUP(ARM("\"metrics\":[],\"timeline\":{\"faults\":[],\"levels\":[[0,0,-5]]}")), "timeline.levels[0].pss: expected a number from 0"},
        {"{\"schema\":\"rouse-bench-result\\u0000\",\"version\":1}", "expected text, found a byte of zero"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]", "expected JSON"},
        {"{\"schema\":\"\xff\"}", "expected JSON"},
};

Test(result_json, what_is_off_is_refused_in_one_line_that_names_file_and_place)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[PATH_MAX + 20];

        snprintf(path, sizeof(path), "%s/r.json", t.path);
        for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
                struct bench_result r = {.seed = 99};
                struct err          e = {0};

                tmpdir_write(&t, "r.json", refused[i].text, strlen(refused[i].text));
                cr_assert_eq(bench_json_read(path, &r, &e), -EBADMSG, "%zu: %s", i, refused[i].text);
                cr_assert(strstr(e.text, refused[i].found), "%zu: expected '%s' in '%s'", i, refused[i].found, e.text);
                cr_assert(strstr(e.text, path), "%zu: %s", i, e.text);
                cr_assert_null(strchr(e.text, '\n'));
                cr_assert(r.seed == 99 && !r.groups, "%zu: touched", i);
        }
}

Test(result_json, a_smallest_file_is_read_and_what_it_does_not_know_is_left_alone)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        const char                    *text = METRIC("[3,1.5]") "\n";
        struct bench_result            r;
        struct err                     e = {0};
        char                           path[PATH_MAX + 20];

        tmpdir_write(&t, "r.json", text, strlen(text));
        snprintf(path, sizeof(path), "%s/r.json", t.path);
        cr_assert_eq(bench_json_read(path, &r, &e), 0, "%s", e.text);
        cr_assert_eq(r.groups[0].arms[0].metrics[0].values[0].round, 3);
        cr_assert_float_eq(r.groups[0].arms[0].metrics[0].values[0].value, 1.5, 0);
        bench_result_free(&r);
}

Test(result_json, a_file_that_is_not_there_is_named)
{
        struct bench_result r;
        struct err          e = {0};

        cr_assert_eq(bench_json_read("/nonexistent/r.json", &r, &e), -ENOENT);
        cr_assert_str_eq(e.text, "/nonexistent/r.json: No such file or directory");
}

/* Each with up to four bytes changed, taken out or doubled: refused in one line, or read and shown. The sanitizers watch. */
Test(result_json, a_damaged_file_is_refused_or_read_and_never_more)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        static const char              bytes_of_json[] = "{}[]\",:0123456789-eE.ntfu\\";
        size_t                         length, read = 0, refusals = 0;
        _cleanup_free_ char           *whole = golden_load(GOLDEN_DIR "populate.json", &length);
        struct draws                   d = {21};
        char                           path[PATH_MAX + 20];

        snprintf(path, sizeof(path), "%s/r.json", t.path);
        for (unsigned i = 0; i < 1500; i++) {
                struct bench_result  r = {0};
                struct err           e = {0};
                _cleanup_free_ char *bad = strdup(whole);

                for (unsigned k = 0; k < 1 + i % 4; k++)
                        bad[(size_t)(draw_uniform(&d) * (double)length)] = bytes_of_json[(size_t)(draw_uniform(&d) * (sizeof(bytes_of_json) - 1))];
                tmpdir_write(&t, "r.json", bad, i % 50 ? length : (size_t)(draw_uniform(&d) * (double)length));
                if (bench_json_read(path, &r, &e) < 0) {
                        refusals++;
                        cr_assert(e.text[0] && !strchr(e.text, '\n'), "%u: '%s'", i, e.text);
                        continue;
                }
                read++;
                bench_result_free(&r);
        }
        cr_assert(read > 50 && refusals > 500, "%zu read, %zu refused", read, refusals);
}
