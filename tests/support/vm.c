/* Boots, saves and wakes by the command line, as a user would. */
#include "tests/support/vm.h"

#include "core/base/clock.h"
#include "core/base/units.h"
#include "tests/support/disk.h"
#include "tests/support/fixture.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 40
#define PATIENCE_MS 60000

const char *guest_file(const char *name)
{
        static char path[4200]; /* each Criterion test is a process of its own */
        const char *rouse = rouse_program(), *slash = strrchr(rouse, '/');

        snprintf(path, sizeof(path), "%.*s/guest/%s.bin", slash ? (int)(slash - rouse) : 1, slash ? rouse : ".", name);
        cr_assert(access(path, R_OK) == 0, "%s is missing: make", path);
        return path;
}

const char *guest_path(void)
{
        return guest_file("beacon");
}

const char *unique_name(char buf[64])
{
        snprintf(buf, 64, "test-%d-%llx", (int)getpid(), (unsigned long long)(now_ns() & 0xffffff));
        return buf;
}

/* head and then words, NULL-ended; and what stands behind the disk of s. */
static struct child start_with(const char *const *head, size_t nr_head, const char *const *words, const struct saved *s)
{
        char disk[4400];

        const char *argv[WORDS_MAX];
        size_t n = 0;

        for (size_t i = 0; i < nr_head; i++)
                argv[n++] = head[i];
        for (size_t i = 0; words[i]; i++) {
                cr_assert_lt(n + 1, WORDS_MAX);
                argv[n++] = words[i];
        }
        cr_assert_lt(n + 2, WORDS_MAX);
        if (s && s->disk[0]) {
                snprintf(disk, sizeof(disk), "0=%s", s->disk);
                argv[n++] = "--disk";
                argv[n++] = disk;
        }
        argv[n] = NULL;
        return child_start(argv);
}

struct saved save_and_quit(struct child *vm, const char *name, const char *path)
{
        return save_and_quit_with(vm, name, path, WORDS(NULL));
}

struct saved save_and_quit_with(struct child *vm, const char *name, const char *path, const char *const *words)
{
        const char *head[] = {rouse_program(), "snapshot", name, path, "--then", "quit"};
        struct child snap = start_with(head, ARRAY_LEN(head), words, NULL);
        struct saved s = {0};

        child_wait(&snap, PATIENCE_MS);

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

struct saved make_native_of(const char *guest, const char *path, unsigned ticks, const char *const *words)
{
        char name[64], text[64];
        const char *head[] = {rouse_program(), "run", "--kernel", guest_file(guest), "--timeout", "60s", "--name",
                              unique_name(name)};
        struct child vm = start_with(head, ARRAY_LEN(head), words, NULL);
        struct saved s;

        snprintf(text, sizeof(text), "TICK %u ", ticks);
        cr_assert(child_wait_output(&vm, text, PATIENCE_MS), "the guest did not boot:\n%s%s", vm.out, vm.err);
        s = save_and_quit(&vm, name, path);
        child_free(&vm);
        return s;
}

struct saved make_native(const char *path, const char *memory, const char *cpus)
{
        return make_native_of("beacon", path, 2, WORDS("--memory", memory, "--cpus", cpus));
}

struct saved next_generation(const struct saved *s, const char *path, unsigned ticks, const char *const *words)
{
        return next_generation_with(s, path, ticks, words, WORDS(NULL));
}

struct saved next_generation_with(const struct saved *s, const char *path, unsigned ticks, const char *const *words,
                                  const char *const *save_words)
{
        char name[64], text[64];
        const char *head[] = {rouse_program(), "restore", s->path, "--timeout", "60s", "--name", unique_name(name)};
        struct child vm = start_with(head, ARRAY_LEN(head), words, s);
        struct saved ret;

        snprintf(text, sizeof(text), "TICK %llu ", (unsigned long long)s->next.n + ticks);
        cr_assert(child_wait_output(&vm, text, PATIENCE_MS), "no %s in:\n%s%s", text, vm.out, vm.err);
        ret = save_and_quit_with(&vm, name, path, save_words);
        assert_joins(s, vm.out, ticks);
        snprintf(ret.disk, sizeof(ret.disk), "%s", s->disk);
        ret.known_disk = s->known_disk;
        child_free(&vm);
        return ret;
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
        char until[64];
        const char *head[] = {rouse_program(), "restore", s->path, "--until", tick_pattern(until, s, ticks - 1), "--timeout",
                              "60s"};
        struct child c = start_with(head, ARRAY_LEN(head), words, s);
        struct beacon_tick last;

        child_wait(&c, PATIENCE_MS + 10000);
        cr_assert_eq(c.status, 0, "restore %s: exit %d, it said:\n%s%s", s->path, c.status, c.out, c.err);
        last = assert_joins(s, c.out, ticks);
        if (s->known_disk)
                assert_disk_words(c.out);
        child_free(&c);
        return last;
}
