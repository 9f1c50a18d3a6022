/* `rouse bench faults` and `rouse bench populate` as their user sees them: what is in the result, and what is said of what this
 * host lacks. Figures are never judged here. */
#include "core/base/units.h"
#include "core/control/json_text.h"
#include "core/huge_pool.h"
#include "tests/support/child.h"
#include "tests/support/huge_pool.h"
#include "tests/support/json_schema.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PATIENCE_MS 120000
#define RUNS        2
#define TMPFS_MAGIC 0x01021994

TestSuite(bench_micro, .fini = huge_pool_give_back);

/* `rouse bench WORDS --runs 2 --json FILE`, held against the schema. */
static struct json_object *bench(const struct tmpdir *t, const char *const *words)
{
        char json[4300];
        const char *argv[24] = {rouse_program(), "bench"};
        size_t n = 2;
        struct child c;
        struct json_object *doc;

        snprintf(json, sizeof(json), "%s/result.json", t->path);
        while (*words)
                argv[n++] = *words++;
        argv[n++] = "--runs";
        argv[n++] = "2";
        argv[n++] = "--json";
        argv[n++] = json;
        c = child_run(PATIENCE_MS, argv);
        cr_assert_eq(c.status, 0, "exit %d: %s%s", c.status, c.out, c.err);
        child_free(&c);
        json_schema_expect("bench/schema/result-1.json", json);
        doc = json_object_from_file(json);
        cr_assert_not_null(doc);
        return doc;
}
#define BENCH(t, ...) bench(t, (const char *const[]){__VA_ARGS__, NULL})

static const char *text_of(struct json_object *o, const char *key)
{
        struct json_object *x = NULL;

        return json_object_object_get_ex(o, key, &x) ? json_object_get_string(x) : "";
}

/* The element of array `key` of o whose `by` is name; NULL: none. */
static struct json_object *find(struct json_object *o, const char *key, const char *by, const char *name)
{
        struct json_object *list = NULL;

        if (!json_object_object_get_ex(o, key, &list))
                return NULL;
        for (size_t i = 0; i < json_object_array_length(list); i++)
                if (strcmp(text_of(json_object_array_get_idx(list, i), by), name) == 0)
                        return json_object_array_get_idx(list, i);
        return NULL;
}

static struct json_object *find_arm(struct json_object *doc, const char *group, const char *arm)
{
        struct json_object *g = find(doc, "groups", "name", group), *a = g ? find(g, "arms", "name", arm) : NULL;

        cr_assert_not_null(a, "no arm '%s' in group '%s': %s", arm, group, json_object_to_json_string(doc));
        return a;
}

/* RUNS values above 0, of the rounds 1 to RUNS, and a ratio to the reference. */
static void assert_measured(struct json_object *doc, const char *group, const char *arm, const char *metric,
                            const char *reference)
{
        struct json_object *a = find_arm(doc, group, arm), *m = find(a, "metrics", "id", metric), *values = NULL;

        cr_assert_not_null(m, "%s, %s: no %s: %s", group, arm, metric, text_of(a, "failure"));
        cr_assert(json_object_object_get_ex(m, "values", &values) && json_object_array_length(values) == RUNS);
        for (size_t i = 0; i < RUNS; i++) {
                struct json_object *v = json_object_array_get_idx(values, i);

                cr_assert_eq(json_object_get_int(json_object_array_get_idx(v, 0)), (int)i + 1);
                cr_assert_gt(json_object_get_double(json_object_array_get_idx(v, 1)), 0);
        }
        if (strcmp(arm, reference))
                cr_assert_not_null(find(m, "ratios", "to", reference), "%s, %s: no ratio to %s", group, arm, reference);
}

static const char *const small_mechanisms[] = {"bare loop", "MISSING, copy", "MISSING, zero page", "MINOR, CONTINUE", "MAP_PRIVATE, read", "MAP_PRIVATE, write",
                                               "anonymous, write"};

Test(bench_micro, faults_has_values_of_every_mechanism_with_ratios_to_the_bare_loop, .timeout = 120)
{
        static const char *const groups[] = {"4 KiB, random, 1 thread", "4 KiB, random, 2 threads", "4 KiB, in order, 1 thread", "4 KiB, in order, 2 threads"};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct json_object *doc;

        need_uffd();
        doc = BENCH(&t, "faults", "--pages", "4K", "--threads", "1,2", "--touches", "64", "--memory", "16M");
        cr_assert_str_eq(text_of(doc, "kind"), "faults");
        for (size_t g = 0; g < ARRAY_LEN(groups); g++)
                for (size_t i = 0; i < ARRAY_LEN(small_mechanisms); i++) {
                        assert_measured(doc, groups[g], small_mechanisms[i], "p50", "bare loop");
                        assert_measured(doc, groups[g], small_mechanisms[i], "p99", "bare loop");
                        assert_measured(doc, groups[g], small_mechanisms[i], "cpu_per_touch", "bare loop");
                        cr_assert_null(find(find_arm(doc, groups[g], small_mechanisms[i]), "metrics", "id", "p999"),
                                       "of 64 touches");
                }
        assert_measured(doc, groups[0], "MISSING, copy", "pager_cpu_per_touch", "bare loop");
        cr_assert_not_null(find(json_at(doc, "floors"), "arms", "name", "memcpy"));
        json_object_put(doc);
}

static void assert_no_pool_is_told(const struct tmpdir *t)
{
        struct json_object *doc = BENCH(t, "faults", "--pages", "2M", "--threads", "1", "--touches", "8", "--memory", "16M");
        struct json_object *a = find_arm(doc, "2 MiB, random, 1 thread", "MISSING, copy");

        cr_assert(strstr(text_of(a, "failure"), "sysctl -w vm.nr_hugepages="), "%s", text_of(a, "failure"));
        cr_assert(strstr(json_object_to_json_string(find(doc, "groups", "name", "2 MiB, random, 1 thread")), "not measured here: bare loop; MISSING, copy"));
        a = find_arm(doc, "2 MiB, random, 1 thread", "transparent, write");
        cr_assert(find(a, "metrics", "id", "p50") || text_of(a, "failure")[0]);
        json_object_put(doc);
}

/* One test, as the pool is the host's: another one would fill it meanwhile. */
Test(bench_micro, faults_of_2_MiB_names_the_command_while_there_are_no_such_pages_and_then_measures_every_mechanism, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct json_object *doc;

        need_uffd();
        if (huge_pool_to_be_had() < 64)
                assert_no_pool_is_told(&t);
        need_hugetlb(128);
        doc = BENCH(&t, "faults", "--pages", "2M", "--threads", "2", "--touches", "16", "--memory", "16M");
        for (size_t i = 0; i < ARRAY_LEN(small_mechanisms); i++)
                assert_measured(doc, "2 MiB, random, 2 threads", small_mechanisms[i], "p50", "bare loop");
        json_object_put(doc);
}

Test(bench_micro, populate_has_values_of_every_way_with_ratios_to_its_floor, .timeout = 120)
{
        static const struct {
                const char *group, *arm, *floor;
        } ways[] = {
                {"raw file, warm", "UFFDIO_COPY of 2 MiB", "UFFDIO_COPY of 2 MiB"},
                {"raw file, warm", "raw", "UFFDIO_COPY of 2 MiB"},
                {"raw file, warm", "raw, no UFFDIO_MOVE", "UFFDIO_COPY of 2 MiB"},
                {"raw file, warm", "runs of 4, scattered in file", "UFFDIO_COPY of 2 MiB"},
                {"raw file, warm", "runs of 4, zeros between", "UFFDIO_COPY of 2 MiB"},
                {"snapshot, warm", "as it is", "UFFDIO_COPY of 2 MiB"},
                {"snapshot, warm", "packed by LZ4", "codec alone"},
                {"what stands behind RAM", "memfd", "anonymous, UFFDIO_COPY"},
                {"what stands behind RAM", "template, first VM", "anonymous, UFFDIO_COPY"},
                {"what stands behind RAM", "template, later VM", "anonymous, UFFDIO_COPY"},
        };
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct json_object *doc;

        need_kvm();
        need_uffd();
        doc = BENCH(&t, "populate", "--memory", "8M");
        cr_assert_str_eq(text_of(doc, "kind"), "populate");
        for (size_t i = 0; i < ARRAY_LEN(ways); i++)
                assert_measured(doc, ways[i].group, ways[i].arm, "rate", ways[i].floor);
        json_object_put(doc);
}

/* A file in memory cannot be evicted. */
Test(bench_micro, a_populate_run_that_was_not_cold_is_thrown_away_and_counted, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct json_object *doc, *a;
        struct statfs fs;

        need_uffd();
        if (statfs("/dev/shm", &fs) < 0 || fs.f_type != TMPFS_MAGIC)
                need_lacks("a tmpfs at /dev/shm", ENOENT);
        doc = BENCH(&t, "populate", "--memory", "8M", "--parts", "cold", "--tmp", "/dev/shm");
        a = find_arm(doc, "raw file, cold", "raw");
        cr_assert_eq(json_object_get_int(json_at(a, "runs_not_cold")), RUNS);
        cr_assert_null(find(a, "metrics", "id", "rate"));
        json_object_put(doc);
}

Test(bench_micro, words_that_are_wrong_are_told_with_what_was_expected)
{
        static const struct {
                const char *words[4], *said;
        } wrong[] = {
                {{"faults", "--threads", "0"}, "--threads"},
                {{"faults", "--pages", "1G"}, "4K, 2M"},
                {{"faults", "--touches", "500000"}, "--memory"},
                {{"faults", "more"}, "'more'"},
                {{"populate", "--parts", "hot"}, "warm,cold,snapshot,backings"},
                {{"populate", "--memory", "3M"}, "multiple of 2M"},
                {{"populate", "--runs", "x"}, "--runs"},
                {{"populate", "/a", "/b"}, "/b"},
        };

        for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
                struct child c = RUN(PATIENCE_MS, rouse_program(), "bench", wrong[i].words[0], wrong[i].words[1],
                                     wrong[i].words[2]);

                cr_assert_eq(c.status, 2, "%s %s: exit %d", wrong[i].words[0], wrong[i].words[1], c.status);
                cr_assert(strstr(c.err, wrong[i].said), "expected '%s' in %s", wrong[i].said, c.err);
                child_free(&c);
        }
}

Test(bench_micro, populate_from_what_is_no_snapshot_says_so, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct child c = RUN(PATIENCE_MS, rouse_program(), "bench", "populate", t.path);

        cr_assert_eq(c.status, 4, "exit %d: %s", c.status, c.err);
        cr_assert(strstr(c.err, t.path), "%s", c.err);
        child_free(&c);
}

Test(bench_micro, a_result_that_could_not_be_written_is_told_before_anything_is_measured, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char nowhere[4300];

        snprintf(nowhere, sizeof(nowhere), "%s/not/there.json", t.path);
        for (int i = 0; i < 2; i++) {
                struct child c = RUN(PATIENCE_MS, rouse_program(), "bench", "faults", "--runs", "10000", i ? "--html" : "--json", i ? t.path : nowhere);

                cr_expect_eq(c.status, 1, "exit %d", c.status);
                cr_expect(strstr(c.err, i ? ": Is a directory; nothing was measured" : "No such file or directory; nothing was measured"), "%s", c.err);
                cr_expect_str_empty(c.out);
                child_free(&c);
        }
}

Test(bench_micro, a_signal_ends_faults_and_populate_with_a_report_of_the_rounds_until_then, .timeout = 120)
{
        static const char *const words[][9] = {{"faults", "--pages", "4K", "--threads", "1", "--touches", "64", "--memory", "16M"},
                                               {"populate", "--parts", "warm,snapshot", "--memory", "16M"}};

        need_uffd();
        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
                _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
                char json[4300], tmp[4300];
                const char *argv[24] = {rouse_program(), "bench"};
                struct json_object *doc;
                struct child c;
                size_t n = 2;

                snprintf(json, sizeof(json), "%s/result.json", t.path);
                snprintf(tmp, sizeof(tmp), "%s/tmp", t.path);
                cr_assert_eq(mkdir(tmp, 0700), 0);
                for (size_t k = 0; k < ARRAY_LEN(words[i]) && words[i][k]; k++)
                        argv[n++] = words[i][k];
                argv[n++] = "--runs";
                argv[n++] = "10000";
                argv[n++] = "--json";
                argv[n++] = json;
                argv[n++] = "--tmp";
                argv[n++] = tmp;
                c = child_start(argv);
                sleep(2); /* how far it is by then is left open */
                child_kill(&c, SIGINT);
                child_wait(&c, PATIENCE_MS);
                cr_expect_eq(c.status, 128 + SIGINT, "exit %d: %s", c.status, c.err);
                cr_expect(strstr(c.err, "stopped by signal 2"), "%s", c.err);
                cr_expect_eq(rmdir(tmp), 0, "%s: %s", tmp, strerror(errno));
                if (strstr(c.err, "what was measured until then")) {
                        cr_expect(strstr(c.out, "10000 rounds were asked for"), "%s", c.out);
                        json_schema_expect("bench/schema/result-1.json", json);
                        doc = json_object_from_file(json);
                        cr_assert_str_eq(text_of(doc, "kind"), words[i][0]);
                        json_object_put(doc);
                } else {
                        cr_expect(strstr(c.err, "before anything was measured"), "%s", c.err);
                }
                child_free(&c);
        }
}
