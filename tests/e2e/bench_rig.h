/* tests/e2e/bench_rig.h: what the tests of `rouse bench restore` share: a place of their own, a run, its result.
 * Owns:    the place (tmpdir_free(&p.t)); a result belongs to the caller (json_object_put).
 * Threads: one.
 * Blocks:  as long as a bench takes. */
#pragma once

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/control/json_text.h"
#include "tests/support/json_schema.h"
#include "tests/support/child.h"
#include "tests/support/fixture.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATIENCE_MS 120000

/* A place for everything, and a rouse that writes down each command line ("PID words...") before it becomes the real one. */
struct place {
        struct tmpdir t;
        char          rouse[4200], log[4200], json[4200], tmp[4200];
};

static inline struct place place_new(void)
{
        struct place p = {.t = tmpdir_new()};
        char script[9000];

        need_kvm();
        need_uffd();
        snprintf(p.rouse, sizeof(p.rouse), "%s/logged", p.t.path);
        snprintf(p.log, sizeof(p.log), "%s/log", p.t.path);
        snprintf(p.json, sizeof(p.json), "%s/result.json", p.t.path);
        snprintf(p.tmp, sizeof(p.tmp), "%s/tmp", p.t.path);
        snprintf(script, sizeof(script), "#!/bin/sh\necho \"$$ $*\" >>'%s'\nexec '%s' \"$@\"\n", p.log, rouse_program());
        tmpdir_write(&p.t, "logged", script, strlen(script));
        cr_assert_eq(chmod(p.rouse, 0700), 0);
        cr_assert_eq(mkdir(p.tmp, 0700), 0);
        setenv("XDG_DATA_HOME", p.t.path, 1);
        setenv("TMPDIR", p.tmp, 1);
        return p;
}

/* What every test here asks for, and the words (NULL-ended) behind it. */
static inline struct child start_bench(const struct place *p, const char *dir, const char *const *words)
{
        const char *argv[32] = {rouse_program(), "bench", "restore", dir, "--mark", "^TICK", "--rouse", p->rouse, "--json",
                                p->json, "--timeout", "60s"};
        size_t n = 12;

        while (*words)
                argv[n++] = *words++;
        return child_start(argv);
}

static inline void bench(const struct place *p, int status, const char *dir, const char *const *words)
{
        struct child c = start_bench(p, dir, words);

        child_wait(&c, PATIENCE_MS);
        cr_assert_eq(c.status, status, "expected exit %d, found %d: %s%s", status, c.status, c.out, c.err);
        child_free(&c);
}
#define BENCH(p, status, dir, ...) bench(p, status, dir, (const char *const[]){__VA_ARGS__, NULL})

/* What it wrote, held against its schema first. */
static inline struct json_object *read_result(const struct place *p)
{
        struct json_object *doc = json_object_from_file(p->json);

        json_schema_expect("bench/schema/result-1.json", p->json);
        cr_assert_not_null(doc, "%s is no JSON", p->json);
        return doc;
}

/* The element of array `key` of o that has that name (or id); NULL: none. */
static inline struct json_object *find(struct json_object *o, const char *key, const char *name)
{
        struct json_object *list = json_at(o, key);

        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                struct json_object *x = json_object_array_get_idx(list, i), *n = json_at(x, "name");

                n = n ? n : json_at(x, "id");
                if (n && strcmp(json_object_get_string(n), name) == 0)
                        return x;
        }
        return NULL;
}

/* The group of warm or cold runs, the snapshot's name before it. */
static inline struct json_object *group_of(struct json_object *doc, const char *cache)
{
        struct json_object *list = json_at(doc, "groups");

        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                struct json_object *g = json_object_array_get_idx(list, i);

                if (strcmp(json_object_get_string(json_at(g, "cache")), cache) == 0)
                        return g;
        }
        cr_assert_fail("no %s group in %s", cache, json_object_to_json_string(doc));
        return NULL;
}

static inline struct json_object *arm_of(struct json_object *doc, const char *cache, const char *arm)
{
        return find(group_of(doc, cache), "arms", arm);
}

static inline size_t nr_values(struct json_object *arm, const char *metric)
{
        struct json_object *m = arm ? find(arm, "metrics", metric) : NULL;

        return m ? json_object_array_length(json_at(m, "values")) : 0;
}

static inline char *read_log(const struct place *p)
{
        FILE *f = fopen(p->log, "re");
        char *text = calloc(1, MIB);

        cr_assert(text);
        if (f) {
                size_t n = fread(text, 1, MIB - 1, f);

                text[n] = 0;
                fclose(f);
        }
        return text;
}

static inline size_t count(const char *text, const char *what)
{
        size_t nr = 0;

        for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
                nr++;
        return nr;
}

static inline bool is_empty(const char *dir)
{
        DIR *d = opendir(dir);
        bool empty = true;

        cr_assert(d);
        for (struct dirent *e; (e = readdir(d));)
                empty &= e->d_name[0] == '.';
        closedir(d);
        return empty;
}
