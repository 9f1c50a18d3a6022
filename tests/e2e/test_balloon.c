/* A guest whose balloon moves, also while its memory is still coming: what it takes back is zeros, what it kept is what it was. */
#include "core/base/units.h"
#include "core/control/client.h"
#include "tests/support/huge_pool.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(balloon, .fini = huge_pool_give_back);

#define PATIENCE_MS 60000

static const char *balloon_guest(char buf[4300])
{
        const char *beacon = guest_path();

        snprintf(buf, 4300, "%.*s/balloon.bin", (int)(strrchr(beacon, '/') - beacon), beacon);
        return buf;
}

/* Where this test's VMs have their sockets. */
static const char *runtime_dir(const struct tmpdir *t, char buf[4300])
{
        setenv("XDG_RUNTIME_DIR", t->path, 1);
        setenv("XDG_DATA_HOME", t->path, 1);
        snprintf(buf, 4300, "%s/rouse", t->path);
        return buf;
}

/* Takes args. Returns the number of that name in the answer. */
static uint64_t execute(const struct tmpdir *t, const char *name, const char *command, struct json_object *args, const char *want)
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

static uint64_t ask(const struct tmpdir *t, const char *name, const uint64_t *bytes)
{
        struct json_object *args = json_object_new_object();

        if (bytes)
                json_object_object_add(args, "bytes", json_object_new_uint64(*bytes));
        return execute(t, name, "balloon", args, "given_bytes");
}

/* How many bytes of data a snapshot of it takes. */
static uint64_t snapshot_bytes(const struct tmpdir *t, const char *name, const char *path)
{
        struct json_object *args = json_object_new_object();

        json_object_object_add(args, "dir", json_object_new_string(path));
        json_object_object_add(args, "replace", json_object_new_boolean(true));
        return execute(t, name, "snapshot", args, "data_bytes");
}

/* Asks for so many pages and waits until the guest says that it has given them: a number that it has not said before. */
static void move_to(const struct tmpdir *t, struct child *vm, const char *name, uint64_t pages)
{
        uint64_t bytes = pages_to_bytes(pages);
        char text[64];

        ask(t, name, &bytes);
        snprintf(text, sizeof(text), " balloon=%llu ", (unsigned long long)pages);
        cr_assert(child_wait_output(vm, text, PATIENCE_MS), "the balloon does not come to %llu pages:\n%s%s", (unsigned long long)pages,
                  vm->out, vm->err);
}

/* The last line may be on its way. */
static void assert_nothing_dirty(const char *text)
{
        for (const char *at = text; (at = strstr(at, " dirty=")); at++)
                cr_assert_eq(strtoull(at + strlen(" dirty="), NULL, 10), 0, "pages came back with something in them: %.80s", at);
}

static struct saved make(const struct tmpdir *t, const char *path)
{
        char kernel[4300], dir[4300], name[64];
        struct saved s;
        struct child vm;

        runtime_dir(t, dir);
        vm = START(rouse_program(), "run", "--kernel", balloon_guest(kernel), "--memory", "128M", "--balloon", "--name", unique_name(name),
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
static void check(const char *const *words)
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

Test(balloon, it_moves_during_a_lazy_restore, .timeout = 200)
{
        check(WORDS("--mode", "lazy", "--hints", "none"));
}

Test(balloon, it_moves_where_nothing_is_brought_in_unasked, .timeout = 200)
{
        check(WORDS("--mode", "lazy", "--hints", "none", "--fill", "off"));
}

Test(balloon, it_moves_over_a_mapped_memory_file, .timeout = 200)
{
        check(WORDS("--mode", "mmap"));
}

Test(balloon, it_moves_where_auto_serves_verified_pages, .timeout = 200)
{
        check(WORDS("--mode", "auto"));
}

Test(balloon, it_moves_where_auto_maps, .timeout = 200)
{
        check(WORDS("--mode", "auto", "--verify", "off"));
}

Test(balloon, it_moves_after_an_eager_restore, .timeout = 200)
{
        check(WORDS("--mode", "eager"));
}

Test(balloon, it_moves_in_a_memfd, .timeout = 200)
{
        check(WORDS("--mode", "lazy", "--memory-backing", "memfd"));
}

Test(balloon, it_moves_over_a_template, .timeout = 200)
{
        check(WORDS("--mode", "shared", "--hints", "none"));
}

Test(balloon, it_moves_over_a_template_of_huge_pages, .timeout = 200)
{
        need_hugetlb(2 * 64);
        check(WORDS("--mode", "shared", "--memory-backing", "hugetlb"));
}

/* --- what it is good for --- */

static uint64_t resident_bytes(pid_t pid)
{
        char path[64];
        unsigned long long all, resident;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
        f = fopen(path, "re");
        cr_assert(f && fscanf(f, "%llu %llu", &all, &resident) == 2);
        fclose(f);
        return pages_to_bytes(resident);
}

Test(balloon, the_host_has_its_memory_back_and_a_snapshot_has_zeros_for_it, .timeout = 200)
{
        static const char *const modes[] = {"eager", "lazy", "mmap", "auto"};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300], other[4300], name[64];
        struct saved s;

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/snapshot", t.path);
        snprintf(other, sizeof(other), "%s/other", t.path);
        s = make(&t, path);
        for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
                struct child vm = START(rouse_program(), "restore", s.path, "--mode", modes[i], "--name", unique_name(name), "--timeout",
                                        "100s");
                struct beacon_tick last;
                uint64_t full, full_data;
                char tick[64];

                cr_assert(child_wait_output(&vm, "TICK ", PATIENCE_MS), "%s", vm.err);
                move_to(&t, &vm, name, 100);
                /* The guest looks at all of its pool in 16 ticks: then all of it is here. */
                cr_assert(beacon_last(vm.out, &last));
                snprintf(tick, sizeof(tick), "TICK %llu ", (unsigned long long)last.n + 20);
                cr_assert(child_wait_output(&vm, tick, PATIENCE_MS));
                full_data = snapshot_bytes(&t, name, other);
                full = resident_bytes(vm.pid);
                move_to(&t, &vm, name, 8100);
                cr_expect_leq(resident_bytes(vm.pid) + 28 * MIB, full, "%s: %llu bytes before, %llu after", modes[i], (unsigned long long)full,
                              (unsigned long long)resident_bytes(vm.pid));
                /* but for a few pages of the guest's own that are no longer, or not yet, zero */
                cr_expect_leq(snapshot_bytes(&t, name, other) + pages_to_bytes(7990), full_data, "%s", modes[i]);
                child_free(&vm);
        }
}

Test(balloon, a_vm_without_one_says_so, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct json_object *request = json_tokener_parse("{\"execute\":\"balloon\"}"), *reply = NULL;
        char name[64], dir[4300];
        struct err e = {0};
        struct child vm;

        need_kvm();
        runtime_dir(&t, dir);
        vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--name", unique_name(name), "--timeout",
                   "60s");
        cr_assert(child_wait_output(&vm, "TICK 1 ", PATIENCE_MS), "%s", vm.err);
        cr_expect_lt(control_ask(dir, name, request, &reply, &e), 0);
        cr_expect(strstr(e.text, "--balloon"), "%s", e.text);
        json_object_put(request);
        child_free(&vm);
}
