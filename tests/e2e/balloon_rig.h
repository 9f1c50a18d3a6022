/* tests/e2e/balloon_rig.h: what test_balloon.c and test_balloon_full.c share: a guest whose balloon is moved, and what it must
 * find.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  as long as its VMs take. */
#pragma once

#include "core/base/units.h"
#include "core/control/client.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 60000

static inline const char *balloon_guest(char buf[4300])
{
        const char *beacon = guest_path();

        snprintf(buf, 4300, "%.*s/balloon.bin", (int)(strrchr(beacon, '/') - beacon), beacon);
        return buf;
}

/* Where this test's VMs have their sockets. */
static inline const char *runtime_dir(const struct tmpdir *t, char buf[4300])
{
        setenv("XDG_RUNTIME_DIR", t->path, 1);
        setenv("XDG_DATA_HOME", t->path, 1);
        snprintf(buf, 4300, "%s/rouse", t->path);
        return buf;
}

/* Takes args. Returns the number of that name in the answer. */
static inline uint64_t execute(const struct tmpdir *t, const char *name, const char *command, struct json_object *args,
                               const char *want)
{
        struct json_object *request = json_object_new_object(), *reply = NULL, *number;
        struct err e = {0};
        uint64_t ret;
        char dir[4300];

        json_object_object_add(request, "execute", json_object_new_string(command));
        json_object_object_add(request, "arguments", args);
        cr_assert_eq(control_ask(runtime_dir(t, dir), name, request, &reply, &e), 0, "%s", e.text);
        cr_assert(json_object_object_get_ex(reply, want, &number));
        ret = json_object_get_uint64(number);
        json_object_put(reply);
        json_object_put(request);
        return ret;
}

static inline uint64_t ask(const struct tmpdir *t, const char *name, const uint64_t *bytes)
{
        struct json_object *args = json_object_new_object();

        if (bytes)
                json_object_object_add(args, "bytes", json_object_new_uint64(*bytes));
        return execute(t, name, "balloon", args, "given_bytes");
}

/* Asks for so many pages and waits until the guest says that it has given them: a number that it has not said before. */
static inline void move_to(const struct tmpdir *t, struct child *vm, const char *name, uint64_t pages)
{
        uint64_t bytes = pages_to_bytes(pages);
        char text[64];

        ask(t, name, &bytes);
        snprintf(text, sizeof(text), " balloon=%llu ", (unsigned long long)pages);
        cr_assert(child_wait_output(vm, text, PATIENCE_MS), "the balloon does not come to %llu pages:\n%s%s",
                  (unsigned long long)pages, vm->out, vm->err);
}

/* The last line may be on its way. */
static inline void assert_nothing_dirty(const char *text)
{
        for (const char *at = text; (at = strstr(at, " dirty=")); at++)
                cr_assert_eq(strtoull(at + strlen(" dirty="), NULL, 10), 0, "pages came back with something in them: %.80s", at);
}

static inline struct saved make(const struct tmpdir *t, const char *path)
{
        char kernel[4300], dir[4300], name[64];
        struct saved s;
        struct child vm;

        runtime_dir(t, dir);
        vm = START(rouse_program(), "run", "--kernel", balloon_guest(kernel), "--memory", "128M", "--balloon", "--name",
                   unique_name(name),
                   "--timeout", "100s");
        cr_assert(child_wait_output(&vm, "TICK 2 ", PATIENCE_MS), "the guest did not boot:\n%s%s", vm.out, vm.err);
        move_to(t, &vm, name, 2048);
        cr_expect_eq(ask(t, name, NULL), 2048 * PAGE_BYTES);
        move_to(t, &vm, name, 1500);
        s = save_and_quit(&vm, name, path);
        assert_nothing_dirty(vm.out);
        child_free(&vm);
        return s;
}

/* Wakes it in a mode, moves the balloon at once, saves it again, and wakes that. */
static inline void check(const char *const *words)
{
        static const uint64_t targets[] = {6000, 900, 8192, 0, 3000};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        const char *argv[20] = {rouse_program(), "restore"};
        char first[4300], second[4300], name[64];
        struct beacon_tick last;
        struct saved s;
        struct child vm;
        size_t n = 2;

        need_kvm();
        need_uffd();
        snprintf(first, sizeof(first), "%s/first", t.path);
        snprintf(second, sizeof(second), "%s/second", t.path);
        s = make(&t, first);
        argv[n++] = first;
        while (*words)
                argv[n++] = *words++;
        argv[n++] = "--name";
        argv[n++] = unique_name(name);
        argv[n++] = "--timeout";
        argv[n++] = "100s";
        vm = child_start(argv);
        cr_assert(child_wait_output(&vm, "TICK", PATIENCE_MS), "%s", vm.err);
        for (size_t i = 0; i < ARRAY_LEN(targets); i++)
                move_to(&t, &vm, name, targets[i]);
        assert_nothing_dirty(vm.out);
        assert_joins(&s, vm.out, 5);
        last = s.next;
        s = save_and_quit(&vm, name, second);
        cr_expect_eq(s.next.nonce, last.nonce);
        child_free(&vm);
        assert_wakes(&s, 20, WORDS("--mode", "lazy"));
        assert_wakes(&s, 20, WORDS("--mode", "mmap"));
}
