/* `rouse bench fanout` as its user sees it: what is counted, what is left out, and that what is shared is cheaper. No times are
 * judged here. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/control/json_text.h"
#include "tests/support/child.h"
#include "tests/support/fixture.h"
#include "tests/support/json_schema.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATIENCE_MS 120000

struct place {
        struct tmpdir t;
        char          json[4200];
};

static struct place place_new(void)
{
        struct place p = {.t = tmpdir_new()};

        need_kvm();
        need_uffd();
        setenv("XDG_DATA_HOME", p.t.path, 1);
        snprintf(p.json, sizeof(p.json), "%s/result.json", p.t.path);
        return p;
}

/* The words behind `rouse bench fanout DIR` (NULL-ended). */
static struct child fanout(const struct place *p, int status, const char *const *words)
{
        const char *argv[32] = {rouse_program(), "bench", "fanout", fixture_dir("stratovirt/microvm-128m"), "--mark", "^TICK",
                                "--json", p->json};
        size_t n = 8;
        struct child c;

        while (*words)
                argv[n++] = *words++;
        c = child_start(argv);
        child_wait(&c, PATIENCE_MS);
        cr_assert_eq(c.status, status, "expected exit %d, found %d: %s%s", status, c.status, c.out, c.err);
        return c;
}
#define FANOUT(p, status, ...) fanout(p, status, (const char *const[]){__VA_ARGS__, NULL})

static struct json_object *read_result(const struct place *p)
{
        struct json_object *doc = json_object_from_file(p->json);

        cr_assert(doc, "%s is no JSON", p->json);
        json_schema_expect("bench/schema/result-1.json", p->json);
        return doc;
}

/* The member of the list that is called so; it must be there. */
static struct json_object *named(struct json_object *list, const char *key, const char *name)
{
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                struct json_object *x = json_object_array_get_idx(list, i);

                if (strcmp(json_object_get_string(json_at(x, key)), name) == 0)
                        return x;
        }
        cr_assert_fail("no '%s' in %s", name, json_object_to_json_string(list));
        return NULL;
}

static struct json_object *arm_of(struct json_object *doc, const char *group, const char *arm)
{
        return named(json_at(named(json_at(doc, "groups"), "name", group), "arms"), "name", arm);
}

static bool has_metric(struct json_object *arm, const char *id)
{
        struct json_object *list = json_at(arm, "metrics");

        for (size_t i = 0; list && i < json_object_array_length(list); i++)
                if (strcmp(json_object_get_string(json_at(json_object_array_get_idx(list, i), "id")), id) == 0)
                        return true;
        return false;
}

/* Of the first value. */
static double value_of(struct json_object *arm, const char *id)
{
        struct json_object *values = json_at(named(json_at(arm, "metrics"), "id", id), "values");

        return json_object_get_double(json_object_array_get_idx(json_object_array_get_idx(values, 0), 1));
}

static size_t nr_values(struct json_object *arm, const char *id)
{
        return json_object_array_length(json_at(named(json_at(arm, "metrics"), "id", id), "values"));
}

Test(bench_fanout, all_clones_answer_at_once_and_at_a_rate_and_a_shared_one_costs_less_than_an_eager_one)
{
        struct place p = place_new();
        struct child c = FANOUT(&p, 0, "--clones", "1,4", "--arms", "eager,shared", "--runs", "1", "--settle", "100ms", "--rate",
                                "50");
        struct json_object *doc = read_result(&p), *shared = arm_of(doc, "4 clones at once", "shared"),
                           *eager = arm_of(doc, "4 clones at once", "eager");
        struct json_object *line = arm_of(doc, "memory over the number of clones", "shared");

        cr_assert_eq(value_of(shared, "answered"), 4);
        cr_assert_eq(value_of(eager, "answered"), 4);
        cr_assert_eq(nr_values(shared, "t3"), 4, "each clone has its T3");
        cr_assert_eq(nr_values(shared, "burst"), 1, "and the burst is one");
        cr_assert_geq(value_of(shared, "burst"), value_of(shared, "t4"));
        /* 32 MiB of the guest are data, of which it writes to 8 */
        cr_assert_lt(value_of(line, "slope.pss"),
                     value_of(arm_of(doc, "memory over the number of clones", "eager"), "slope.pss") / 2);
        cr_assert_gt(value_of(shared, "memory.template"), 8.0 * (double)MIB, "what they share is charged");
        cr_assert_gt(value_of(shared, "memory.pss"), value_of(shared, "memory.template"), "in full");
        cr_assert_eq(value_of(eager, "memory.template"), 0);
        cr_assert_eq(value_of(arm_of(doc, "50 clones a second, 4 at a time", "shared"), "answered"), 11);
        cr_assert_gt(value_of(arm_of(doc, "50 clones a second, 1 at a time", "eager"), "rate"), 0);
        json_object_put(doc);
        child_free(&c);
        tmpdir_free(&p.t);
}

/* A rouse that fails at its third run from now on. */
static void write_failing_rouse(const struct place *p, char path[4200])
{
        char script[9000];

        snprintf(script, sizeof(script),
                 "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9 10; do\n\tmkdir '%s'/$i 2>/dev/null && break\ndone\n"
                 "[ $i = 3 ] && { echo 'this one never wakes' >&2; exit 7; }\nexec '%s' \"$@\"\n", p->t.path, rouse_program());
        tmpdir_write(&p->t, "rouse", script, strlen(script));
        snprintf(path, 4200, "%s/rouse", p->t.path);
        cr_assert_eq(chmod(path, 0700), 0);
}

Test(bench_fanout, a_clone_that_fails_is_counted_with_its_reason_and_its_burst_stands_in_no_time)
{
        struct place p = place_new();
        char rouse[4200];
        struct json_object *doc, *arm;
        struct child c;

        write_failing_rouse(&p, rouse);
        /* the first run warms up, the next four are a burst, then there is another one */
        c = FANOUT(&p, 0, "--clones", "4", "--arms", "mmap", "--runs", "2", "--settle", "10ms", "--rate", "0", "--rouse", rouse);
        doc = read_result(&p);
        arm = arm_of(doc, "4 clones at once", "mmap");
        cr_assert_eq(value_of(arm, "answered"), 3);
        cr_assert_eq(nr_values(arm, "answered"), 2);
        cr_assert_eq(nr_values(arm, "burst"), 1);
        cr_assert_eq(nr_values(arm, "t3"), 4);
        cr_assert_str_eq(json_object_get_string(json_at(arm, "failure")),
                         "3 of 4 clones answered; the first that did not: exit 7 before it answered: this one never wakes");
        cr_assert_not(has_metric(arm, "rate"));
        json_object_put(doc);
        child_free(&c);
        tmpdir_free(&p.t);
}

Test(bench_fanout, an_arm_that_cannot_be_had_is_told_before_many_are_started)
{
        struct place p = place_new();
        struct child c = FANOUT(&p, 1, "--clones", "512", "--arms", "mmap", "--runs", "1", "--rate", "0", "--settle", "10ms",
                                "--rouse", "/bin/false");

        /* an arm that cannot be had: nothing of 512 was tried */
        cr_assert(strstr(c.err, "mmap: left out: exit 1 before it answered"), "%s", c.err);
        cr_assert(strstr(c.err, "none of the arms can be had here"), "%s", c.err);
        child_free(&c);
        tmpdir_free(&p.t);
}

Test(bench_fanout, wrong_words_are_wrong_usage)
{
        struct place p = place_new();
        struct child c = FANOUT(&p, 2, "--clones", "1,0");

        cr_assert(strstr(c.err, "--clones: expected numbers from 1 to 512"), "%s", c.err);
        child_free(&c);
        c = FANOUT(&p, 2, "--arms", "mmap,sideways");
        cr_assert(strstr(c.err, "--arms: expected some of eager,"), "%s", c.err);
        child_free(&c);
        tmpdir_free(&p.t);
}
