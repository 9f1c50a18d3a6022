/* tests/e2e/base_rig.h: what test_base.c and test_base_full.c share: VMs that are saved over a base, and what such chains must
 * hold.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  as long as its VMs take. */
#pragma once

#include "core/base/units.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 60000

struct place {
        char path[4300];
};

static inline struct place in(const struct tmpdir *t, const char *name)
{
        struct place p;

        snprintf(p.path, sizeof(p.path), "%s/%.60s", t->path, name);
        return p;
}

static inline struct place two_words(const struct tmpdir *t, const char *a, const char *b)
{
        struct place p;

        snprintf(p.path, sizeof(p.path), "%s/%.60s-%.20s", t->path, a, b);
        return p;
}

/* The numbers of a snapshot's ledger. */
static inline uint64_t number(struct json_object *ledger, const char *key)
{
        struct json_object *v;

        cr_assert(json_object_object_get_ex(ledger, key, &v), "the ledger has no %s", key);
        return json_object_get_uint64(v);
}

static inline struct json_object *save(const struct tmpdir *t, const char *name, const char *path, const char *base,
                                       const char *then)
{
        struct place ledger = in(t, "ledger.json");
        struct child c = base ? RUN(PATIENCE_MS, rouse_program(), "snapshot", name, path, "--base", base, "--then", then,
                                    "--ledger", ledger.path) :
                                RUN(PATIENCE_MS, rouse_program(), "snapshot", name, path, "--then", then, "--ledger",
                                    ledger.path);
        struct json_object *ret;

        cr_assert_eq(c.status, 0, "rouse snapshot said: %s", c.err);
        child_free(&c);
        ret = json_object_from_file(ledger.path);
        cr_assert_not_null(ret);
        return ret;
}

static inline void convert(const char *from, const char *to)
{
        struct child c = RUN(PATIENCE_MS, rouse_program(), "convert", from, to);

        cr_assert_eq(c.status, 0, "rouse convert said: %s", c.err);
        child_free(&c);
}

static inline void assert_same_memory(const char *a, const char *b)
{
        char command[20000];

        snprintf(command, sizeof(command), "cmp %s/memory %s/memory", a, b);
        cr_assert_eq(system(command), 0, "%s", command); /* NOLINT(cert-env33-c): a test's own words */
}

static inline struct child wake(const struct saved *s, const char *name, unsigned ticks, const char *const *words)
{
        const char *argv[40] = {rouse_program(), "restore", s->path, "--timeout", "60s", "--name", name};
        char text[64], disk[4400];
        size_t n = 7;
        struct child vm;

        while (*words)
                argv[n++] = *words++;
        if (s->disk[0]) {
                snprintf(disk, sizeof(disk), "0=%s", s->disk);
                argv[n++] = "--disk";
                argv[n++] = disk;
        }
        argv[n] = NULL;
        vm = child_start(argv);
        snprintf(text, sizeof(text), "TICK %llu ", (unsigned long long)s->next.n + ticks);
        cr_assert(child_wait_output(&vm, text, PATIENCE_MS), "no %s in:\n%s%s", text, vm.out, vm.err);
        return vm;
}

/* --- the same bytes, whichever way it was found out what changed --- */

/* A VM that is stopped, saved over its base and then whole: the chain, made one, is the whole. The ledger of the first. Takes
 * vm. */
static inline struct json_object *check_equal_of(const struct tmpdir *t, const struct saved *s, const char *tag, struct child vm,
                                                 const char *name)
{
        struct place child = in(t, tag), whole = two_words(t, tag, "whole"), flat = two_words(t, tag, "flat");
        struct json_object *ledger;

        ledger = save(t, name, child.path, s->path, "pause");
        json_object_put(save(t, name, whole.path, NULL, "quit"));
        cr_assert_eq(child_wait(&vm, PATIENCE_MS), 0, "%s", vm.err);
        convert(child.path, flat.path);
        assert_same_memory(whole.path, flat.path);
        child_free(&vm);
        return ledger;
}

static inline struct json_object *check_equal(const struct tmpdir *t, const struct saved *s, const char *tag,
                                              const char *const *words)
{
        char name[64];
        struct child vm = wake(s, unique_name(name), 3, words);

        return check_equal_of(t, s, tag, vm, name);
}

struct way {
        const char *tag, *words[8];
};

static inline void check_ways(const struct tmpdir *t, const struct saved *s, const struct way *ways, size_t nr)
{
        for (size_t i = 0; i < nr; i++) {
                bool tracks = strstr(ways[i].tag, "track");
                struct json_object *ledger = check_equal(t, s, ways[i].tag, ways[i].words);

                cr_assert(!tracks || number(ledger, "compared_bytes") == 0, "%s compared pages", ways[i].tag);
                if (strstr(ways[i].tag, "half"))
                        cr_assert_gt(number(ledger, "unfetched_bytes"), 0, "%s: nothing was left absent", ways[i].tag);
                json_object_put(ledger);
        }
}

/* --- chains --- */

static inline void check_chain(bool track, bool half, const char *pack)
{
        static const char *const modes[] = {"lazy", "mmap", "eager", "auto"};
        static const char *const packed_modes[] = {"lazy", "eager", "auto"}; /* nothing packed can be mapped */
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s[6];
        struct place flat = in(&t, "flat");
        struct saved one;

        need_kvm();
        need_uffd();
        s[0] = make_native(in(&t, "0").path, "64M", "2");
        for (unsigned g = 1; g < 6; g++) {
                char name[2] = {(char)('0' + g), '\0'};
                const char *mode = strcmp(pack, "none") ? packed_modes[g % 3] : modes[(g - 1) % ARRAY_LEN(modes)];
                bool stays_half = half && !strcmp(mode, "lazy");

                s[g] = next_generation_with(&s[g - 1], in(&t, name).path, 3,
                                            WORDS("--mode", mode, "--hints", "auto",
                                                  stays_half ? "--fill" : track ? "--track-dirty" : NULL,
                                                  stays_half ? "off" : NULL, track ? "--track-dirty" : NULL),
                                            WORDS("--base", s[g - 1].path, "--pack", g % 2 ? "none" : pack));
        }
        for (size_t i = 0; i < ARRAY_LEN(modes); i++)
                if (strcmp(pack, "none") == 0 || strcmp(modes[i], "mmap") != 0)
                        assert_wakes(&s[5], 5, WORDS("--mode", modes[i]));
        convert(s[5].path, flat.path);
        one = s[5];
        snprintf(one.path, sizeof(one.path), "%.4100s", flat.path);
        assert_wakes(&one, 5, WORDS("--mode", "mmap"));
}
