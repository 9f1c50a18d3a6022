/* Snapshots over a base: a chain of them wakes like one, holds what its guest's memory held to the last bit, and no more than changed. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/control/client.h"
#include "tests/support/disk.h"
#include "tests/support/fixture.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 60000

static const char *const modes[] = {"lazy", "mmap", "eager", "auto"};

struct place {
        char path[4300];
};

static struct place in(const struct tmpdir *t, const char *name)
{
        struct place p;

        snprintf(p.path, sizeof(p.path), "%s/%.60s", t->path, name);
        return p;
}

static struct place two_words(const struct tmpdir *t, const char *a, const char *b)
{
        struct place p;

        snprintf(p.path, sizeof(p.path), "%s/%.60s-%.20s", t->path, a, b);
        return p;
}

/* The numbers of a snapshot's ledger. */
static uint64_t number(struct json_object *ledger, const char *key)
{
        struct json_object *v;

        cr_assert(json_object_object_get_ex(ledger, key, &v), "the ledger has no %s", key);
        return json_object_get_uint64(v);
}

static struct json_object *save(const struct tmpdir *t, const char *name, const char *path, const char *base, const char *then)
{
        struct place ledger = in(t, "ledger.json");
        struct child c = base ? RUN(PATIENCE_MS, rouse_program(), "snapshot", name, path, "--base", base, "--then", then, "--ledger", ledger.path) :
                                RUN(PATIENCE_MS, rouse_program(), "snapshot", name, path, "--then", then, "--ledger", ledger.path);
        struct json_object *ret;

        cr_assert_eq(c.status, 0, "rouse snapshot said: %s", c.err);
        child_free(&c);
        ret = json_object_from_file(ledger.path);
        cr_assert_not_null(ret);
        return ret;
}

static void convert(const char *from, const char *to)
{
        struct child c = RUN(PATIENCE_MS, rouse_program(), "convert", from, to);

        cr_assert_eq(c.status, 0, "rouse convert said: %s", c.err);
        child_free(&c);
}

static void assert_same_memory(const char *a, const char *b)
{
        char command[20000];

        snprintf(command, sizeof(command), "cmp %s/memory %s/memory", a, b);
        cr_assert_eq(system(command), 0, "%s", command); /* NOLINT(cert-env33-c): a test's own words */
}

static struct child wake(const struct saved *s, const char *name, unsigned ticks, const char *const *words)
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

/* A VM that is stopped, saved over its base and then whole: the chain, made one, is the whole. The ledger of the first. Takes vm. */
static struct json_object *check_equal_of(const struct tmpdir *t, const struct saved *s, const char *tag, struct child vm, const char *name)
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

static struct json_object *check_equal(const struct tmpdir *t, const struct saved *s, const char *tag, const char *const *words)
{
        char name[64];
        struct child vm = wake(s, unique_name(name), 3, words);

        return check_equal_of(t, s, tag, vm, name);
}

struct way {
        const char *tag, *words[8];
};

static void check_ways(const struct tmpdir *t, const struct saved *s)
{
        static const struct way ways[] = {
                {"lazy-compare", {"--mode", "lazy"}},
                {"lazy-track", {"--mode", "lazy", "--track-dirty"}},
                {"half-compare", {"--mode", "lazy", "--fill", "off"}},
                {"half-track", {"--mode", "lazy", "--fill", "off", "--track-dirty"}},
                {"mmap-compare", {"--mode", "mmap"}},
                {"mmap-track", {"--mode", "mmap", "--track-dirty"}},
                {"auto-compare", {"--mode", "auto"}},
                {"auto-track", {"--mode", "auto", "--verify", "off", "--fill", "off", "--track-dirty"}},
                {"eager-compare", {"--mode", "eager"}},
                {"eager-track", {"--mode", "eager", "--track-dirty"}},
                {"memfd-compare", {"--mode", "lazy", "--fill", "off", "--memory-backing", "memfd"}},
                {"memfd-track", {"--mode", "lazy", "--memory-backing", "memfd", "--track-dirty"}},
        };

        for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
                bool tracks = strstr(ways[i].tag, "track");
                struct json_object *ledger = check_equal(t, s, ways[i].tag, ways[i].words);

                cr_assert(!tracks || number(ledger, "compared_bytes") == 0, "%s compared pages", ways[i].tag);
                if (strstr(ways[i].tag, "half"))
                        cr_assert_gt(number(ledger, "unfetched_bytes"), 0, "%s: nothing was left absent", ways[i].tag);
                json_object_put(ledger);
        }
}

Test(base, what_changed_is_found_to_the_last_bit_in_every_mode_tracked_or_compared, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;

        need_kvm();
        need_uffd();
        s = make_native(in(&t, "first").path, "64M", "2");
        check_ways(&t, &s);
}

Test(base, a_foreign_base_is_as_good, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = use_fixture("stratovirt/microvm-128m");

        need_kvm();
        need_uffd();
        json_object_put(check_equal(&t, &s, "compare", WORDS("--mode", "lazy", "--fill", "off")));
        json_object_put(check_equal(&t, &s, "track", WORDS("--mode", "mmap", "--track-dirty")));
}

/* Its disk's requests are written into guest memory by the device: no vCPU is seen doing it. */
Test(base, what_a_disk_brought_into_memory_is_not_missed, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;
        struct place disk = in(&t, "disk");

        need_kvm();
        need_uffd();
        make_empty_disk(disk.path, 2 << 20);
        s = make_native_of("writer", in(&t, "first").path, 3, WORDS("--memory", "64M", "--disk", disk.path));
        snprintf(s.disk, sizeof(s.disk), "%s", disk.path);
        json_object_put(check_equal(&t, &s, "track", WORDS("--mode", "lazy", "--track-dirty")));
        json_object_put(check_equal(&t, &s, "half", WORDS("--mode", "lazy", "--fill", "off", "--track-dirty")));
}

static void run_tool(const char *command)
{
        cr_assert_eq(system(command), 0, "%s", command); /* NOLINT(cert-env33-c): a test's own words */
}

/* Frames come into memory by readv from the tap. */
Test(base, what_a_network_card_brought_into_memory_is_not_missed, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;

        need_kvm();
        need_uffd();
        need_tap();
        cr_assert_eq(unshare(CLONE_NEWNET), 0);
        run_tool("ip tuntap add dev rtap mode tap");
        run_tool("ip addr add 10.77.0.1/24 dev rtap");
        run_tool("ip link set rtap up");
        s = make_native_of("ping", in(&t, "first").path, 3, WORDS("--memory", "64M", "--net", "tap=rtap"));
        json_object_put(check_equal(&t, &s, "track", WORDS("--mode", "lazy", "--track-dirty", "--net", "4=tap=rtap")));
        json_object_put(check_equal(&t, &s, "half", WORDS("--mode", "lazy", "--fill", "off", "--track-dirty", "--net", "4=tap=rtap")));
}

static void ask_for(const struct tmpdir *t, const char *name, uint64_t pages)
{
        struct json_object *request = json_object_new_object(), *args = json_object_new_object(), *reply = NULL;
        struct place runtime_dir = in(t, "rouse");
        struct err e = {0};

        json_object_object_add(args, "bytes", json_object_new_uint64(pages_to_bytes(pages)));
        json_object_object_add(request, "execute", json_object_new_string("balloon"));
        json_object_object_add(request, "arguments", args);
        cr_assert_eq(control_ask(runtime_dir.path, name, request, &reply, &e), 0, "%s", e.text);
        json_object_put(reply);
        json_object_put(request);
}

static void check_balloon(const struct tmpdir *t, const struct saved *s, const char *tag, const char *const *words)
{
        char name[64];
        struct child vm = wake(s, unique_name(name), 1, words);

        ask_for(t, name, 2048);
        cr_assert(child_wait_output(&vm, " balloon=2048 ", PATIENCE_MS), "%s%s", vm.out, vm.err);
        json_object_put(check_equal_of(t, s, tag, vm, name));
}

/* Never fetched or there, tracked or not: what the guest gave back is zero, and not the base's. */
Test(base, what_the_balloon_gave_back_is_zero_in_the_child, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;

        need_kvm();
        need_uffd();
        setenv("XDG_RUNTIME_DIR", t.path, 1);
        s = make_native_of("balloon", in(&t, "first").path, 3, WORDS("--memory", "128M", "--balloon"));
        check_balloon(&t, &s, "track", WORDS("--mode", "lazy", "--fill", "off", "--track-dirty"));
        check_balloon(&t, &s, "compare", WORDS("--mode", "lazy"));
        check_balloon(&t, &s, "mapped", WORDS("--mode", "mmap", "--track-dirty"));
}

/* --- chains --- */

static const char *const packed_modes[] = {"lazy", "eager", "auto"}; /* nothing packed can be mapped */

static void check_chain(bool track, bool half, const char *pack)
{
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
                                            WORDS("--mode", mode, "--hints", "auto", stays_half ? "--fill" : track ? "--track-dirty" : NULL,
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

Test(base, a_chain_of_five_wakes_in_every_mode, .timeout = 300)
{
        check_chain(false, false, "none");
}

Test(base, a_chain_of_five_that_was_tracked_and_half_fetched_wakes_in_every_mode, .timeout = 300)
{
        check_chain(true, true, "none");
}

Test(base, a_chain_of_five_some_of_them_packed_wakes, .timeout = 300)
{
        check_chain(true, true, "lz4");
}

/* The second one's base is the first one: what is tracked goes on from there. */
Test(base, a_running_vm_is_saved_over_and_over_each_over_the_last, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct place path[5] = {in(&t, "0"), in(&t, "1"), in(&t, "2"), in(&t, "3"), in(&t, "4")}, whole = in(&t, "whole"), flat = in(&t, "flat");
        struct saved s;
        struct child vm;
        char name[64];

        need_kvm();
        need_uffd();
        s = make_native(path[0].path, "64M", "2");
        vm = wake(&s, unique_name(name), 1, WORDS("--mode", "lazy", "--fill", "off", "--track-dirty"));
        for (unsigned g = 1; g < 5; g++) {
                struct json_object *ledger = save(&t, name, path[g].path, path[g - 1].path, g == 4 ? "pause" : "resume");

                cr_assert_eq(number(ledger, "compared_bytes"), 0);
                cr_assert_gt(number(ledger, "unfetched_bytes"), 0);
                json_object_put(ledger);
                usleep(100000);
        }
        json_object_put(save(&t, name, whole.path, NULL, "quit"));
        convert(path[4].path, flat.path);
        assert_same_memory(whole.path, flat.path);
        child_wait(&vm, PATIENCE_MS);
        child_free(&vm);
}

/* Neither restored from it nor saved as it: every page is compared, and it is right all the same. */
Test(base, a_base_that_the_vm_does_not_come_from_is_compared_with, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s, other;
        struct place child = in(&t, "child"), whole = in(&t, "whole"), flat = in(&t, "flat");
        struct json_object *ledger;
        struct child vm;
        char name[64];

        need_kvm();
        need_uffd();
        s = make_native(in(&t, "first").path, "64M", "1");
        other = make_native(in(&t, "other").path, "64M", "1");
        vm = wake(&s, unique_name(name), 2, WORDS("--mode", "lazy", "--fill", "off", "--track-dirty"));
        ledger = save(&t, name, child.path, other.path, "pause");
        cr_assert_gt(number(ledger, "compared_bytes"), 0);
        cr_assert_eq(number(ledger, "unfetched_bytes"), 0);
        json_object_put(ledger);
        json_object_put(save(&t, name, whole.path, NULL, "quit"));
        convert(child.path, flat.path);
        assert_same_memory(whole.path, flat.path);
        child_wait(&vm, PATIENCE_MS);
        child_free(&vm);
}

/* --- how much --- */

Test(base, the_child_of_a_guest_that_never_ran_holds_next_to_nothing, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct place child = in(&t, "child");
        struct saved s;
        struct json_object *ledger;
        struct child vm;
        char name[64];

        need_kvm();
        need_uffd();
        s = make_native(in(&t, "first").path, "64M", "1");
        vm = START(rouse_program(), "restore", s.path, "--timeout", "60s", "--paused", "--fill", "off", "--track-dirty", "--name", unique_name(name));
        for (int i = 0; i < 100; i++) { /* until it has its socket */
                struct child c = RUN(PATIENCE_MS, rouse_program(), "list");
                bool there = strstr(c.out, name);

                child_free(&c);
                if (there)
                        break;
                usleep(20000);
        }
        ledger = save(&t, name, child.path, s.path, "quit");
        cr_assert_lt(number(ledger, "data_bytes"), 256 * KIB);
        cr_assert_gt(number(ledger, "unfetched_bytes"), 0);
        json_object_put(ledger);
        child_wait(&vm, PATIENCE_MS);
        child_free(&vm);
}

/* --- what is refused --- */

static void assert_restore_refused(const char *path, int status, const char *const *expected)
{
        struct child c = RUN(PATIENCE_MS, rouse_program(), "restore", path, "--timeout", "10s");

        cr_assert_eq(c.status, status, "exit %d: %s", c.status, c.err);
        cr_assert_eq(strchr(c.err, '\n'), c.err + c.err_len - 1, "more than one line: %s", c.err);
        for (; *expected; expected++)
                cr_assert_not_null(strstr(c.err, *expected), "expected '%s' in: %s", *expected, c.err);
        child_free(&c);
}

Test(base, a_missing_parent_is_refused_in_one_line_and_found_again_with_base, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct place gone = in(&t, "gone");
        struct saved s, child;
        struct child c;

        need_kvm();
        need_uffd();
        s = make_native(in(&t, "first").path, "64M", "1");
        child = next_generation_with(&s, in(&t, "child").path, 2, WORDS("--fill", "off"), WORDS("--base", s.path));
        cr_assert_eq(rename(s.path, gone.path), 0);
        assert_restore_refused(child.path, 4, WORDS("expected snapshot ", s.path, "there is none", "--base DIR"));
        assert_wakes(&child, 3, WORDS("--base", gone.path));
        c = RUN(PATIENCE_MS, rouse_program(), "verify", child.path, "--base", gone.path);
        cr_assert_eq(c.status, 0, "%s", c.err);
        child_free(&c);
        c = RUN(PATIENCE_MS, rouse_program(), "inspect", child.path, "--base", gone.path);
        cr_assert(c.status == 0 && strstr(c.out, "`- ") && strstr(c.out, gone.path), "%s%s", c.out, c.err);
        child_free(&c);
}

Test(base, a_foreign_parent_that_was_written_since_is_refused, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = use_fixture("stratovirt/microvm-128m"), child;
        struct place base = in(&t, "base");
        char command[20000];

        need_kvm();
        need_uffd();
        snprintf(command, sizeof(command), "mkdir %s && cp --sparse=always %s/state %s/memory %s", base.path, s.path, s.path, base.path);
        cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c): a test's own words */
        snprintf(s.path, sizeof(s.path), "%.4100s", base.path);
        child = next_generation_with(&s, in(&t, "child").path, 2, WORDS("--mode", "lazy"), WORDS("--base", s.path));
        assert_wakes(&child, 3, WORDS("--mode", "lazy"));
        snprintf(command, sizeof(command), "touch %s/memory", base.path);
        cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c): a test's own words */
        assert_restore_refused(child.path, 4, WORDS("its memory was written since"));
}

static void assert_save_refused(const char *name, int status, const char *path, const char *base, const char *more, const char *expected)
{
        struct child c = RUN(PATIENCE_MS, rouse_program(), "snapshot", name, path, "--base", base, more);

        cr_assert_eq(c.status, status, "exit %d: %s", c.status, c.err);
        cr_assert_not_null(strstr(c.err, expected), "expected '%s' in: %s", expected, c.err);
        child_free(&c);
}

Test(base, what_makes_no_sense_is_refused_and_the_vm_goes_on, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct place child = in(&t, "child");
        struct saved s, other;
        struct child vm;
        char name[64];

        need_kvm();
        need_uffd();
        s = make_native(in(&t, "first").path, "64M", "1");
        other = make_native(in(&t, "other").path, "128M", "1");
        vm = wake(&s, unique_name(name), 1, WORDS("--mode", "lazy"));
        assert_save_refused(name, 1, s.path, s.path, "--replace", "over itself");
        assert_save_refused(name, 1, child.path, other.path, NULL, "16384 pages of RAM");
        assert_save_refused(name, 2, child.path, s.path, "--format=stratovirt", "cannot refer to another");
        assert_save_refused(name, 1, child.path, in(&t, "nowhere").path, NULL, "nowhere");
        cr_assert_neq(access(child.path, F_OK), 0);
        json_object_put(save(&t, name, child.path, s.path, "quit"));
        child_wait(&vm, PATIENCE_MS);
        child_free(&vm);
}

/* A byte of the parent's memory is wrong. The VM goes on, as it does not need it; it cannot be saved. */
Test(base, a_vm_with_a_lost_page_is_not_saved, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct place child = in(&t, "child"), memory;
        _cleanup_close_ int fd = -1;
        struct saved s;
        struct child vm;
        char name[64];

        need_kvm();
        need_uffd();
        s = make_native(in(&t, "first").path, "64M", "1");
        memory = in(&t, "first/memory");
        fd = open(memory.path, O_RDWR | O_CLOEXEC);
        for (off_t at = lseek(fd, 0, SEEK_DATA); at >= 0; at = lseek(fd, at, SEEK_HOLE), at = at < 0 ? at : lseek(fd, at, SEEK_DATA)) {
                char byte;

                cr_assert_eq(pread(fd, &byte, 1, at + 77), 1);
                byte ^= 1;
                cr_assert_eq(pwrite(fd, &byte, 1, at + 77), 1);
                break; /* the first page with data: real-mode leftovers that a running guest does not need */
        }
        vm = wake(&s, unique_name(name), 3, WORDS("--mode", "lazy", "--hints", "none"));
        assert_save_refused(name, 1, child.path, s.path, NULL, "cannot be saved");
        child_kill(&vm, 15);
        child_wait(&vm, PATIENCE_MS);
        child_free(&vm);
}
