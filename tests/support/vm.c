/* Boots, saves and wakes by the command line, as a user would. */
#include "tests/support/vm.h"

#include "core/base/clock.h"
#include "tests/support/fixture.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 40
#define PATIENCE_MS 60000

const char *guest_path(void)
{
        static char path[4200]; /* each Criterion test is a process of its own */
        const char *rouse = rouse_program(), *slash = strrchr(rouse, '/');

        snprintf(path, sizeof(path), "%.*s/guest/beacon.bin", slash ? (int)(slash - rouse) : 1, slash ? rouse : ".");
        cr_assert(access(path, R_OK) == 0, "%s is missing: make", path);
        return path;
}

const char *unique_name(char buf[64])
{
        snprintf(buf, 64, "test-%d-%llx", (int)getpid(), (unsigned long long)(now_ns() & 0xffffff));
        return buf;
}

struct saved save_and_quit(struct child *vm, const char *name, const char *path)
{
        struct child snap = RUN(PATIENCE_MS, rouse_program(), "snapshot", name, path, "--then", "quit");
        struct saved s = {0};

        cr_assert_eq(snap.status, 0, "rouse snapshot said: %s", snap.err);
        cr_assert_eq(child_wait(vm, PATIENCE_MS), 0, "the saved VM said: %s", vm->err);
        cr_assert(beacon_last(vm->out, &s.next), "no TICK in:\n%s", vm->out);
        s.next.n++;
        snprintf(s.path, sizeof(s.path), "%s", path);
        snprintf(s.partial, sizeof(s.partial), "%s", strrchr(vm->out, '\n') + 1);
        child_free(&snap);
        return s;
}

struct beacon_tick assert_joins(const struct saved *s, const char *text, size_t least)
{
        char *joined = NULL;
        struct beacon_tick last;

        cr_assert_geq(asprintf(&joined, "%s%s", s->partial, text), 0);
        last = beacon_assert_goes_on(joined, s->next.n, s->next.nonce, least);
        free(joined);
        return last;
}

struct saved make_native(const char *path, const char *memory, const char *cpus)
{
        char name[64];
        struct child vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", memory, "--cpus", cpus, "--name", unique_name(name));
        struct saved s;

        cr_assert(child_wait_output(&vm, "TICK 2 ", PATIENCE_MS), "the guest did not boot:\n%s%s", vm.out, vm.err);
        s = save_and_quit(&vm, name, path);
        child_free(&vm);
        return s;
}

static struct beacon_tick read_expect_next(const char *dir)
{
        struct beacon_tick t = {0};
        char path[4300];
        struct json_object *doc, *line;
        unsigned long long n, nonce;

        snprintf(path, sizeof(path), "%s/manifest.json", dir);
        doc = json_object_from_file(path);
        cr_assert(doc && json_object_object_get_ex(doc, "expect_next", &line), "%s has no expect_next", path);
        cr_assert_eq(sscanf(json_object_get_string(line), "TICK %llu nonce=%llx", &n, &nonce), 2);
        t.n = n;
        t.nonce = nonce;
        json_object_put(doc);
        return t;
}

struct saved use_fixture(const char *name)
{
        struct saved s = {0};

        snprintf(s.path, sizeof(s.path), "%s", fixture_dir(name));
        s.next = read_expect_next(s.path);
        return s;
}

const char *tick_pattern(char buf[64], const struct saved *s, unsigned more)
{
        /* The first one may have begun before the VM was stopped, so that only its end is printed now. */
        snprintf(buf, 64, "^TICK %llu ", (unsigned long long)s->next.n + more + (more == 0 && s->partial[0]));
        return buf;
}

struct beacon_tick assert_wakes(const struct saved *s, unsigned ticks, const char *const *words)
{
        const char *argv[WORDS_MAX] = {rouse_program(), "restore", s->path};
        struct beacon_tick last;
        struct child c;
        char until[64];
        size_t n = 3;

        for (size_t i = 0; words[i]; i++)
                argv[n++] = words[i];
        argv[n++] = "--until";
        argv[n++] = tick_pattern(until, s, ticks - 1);
        argv[n++] = "--timeout";
        argv[n++] = "60s";
        cr_assert_lt(n, WORDS_MAX);
        c = child_run(PATIENCE_MS + 10000, argv);
        cr_assert_eq(c.status, 0, "restore %s: exit %d, it said:\n%s%s", s->path, c.status, c.out, c.err);
        last = assert_joins(s, c.out, ticks);
        child_free(&c);
        return last;
}
