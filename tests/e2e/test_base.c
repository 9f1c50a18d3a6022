/* Snapshots over a base: a chain of them wakes like one, holds what its guest's memory held to the last bit, and no more than
 * changed. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "tests/e2e/base_rig.h"
#include "tests/support/disk.h"
#include "tests/support/fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

/* --- the same bytes, whichever way it was found out what changed --- */

Test(base, what_changed_is_found_to_the_last_bit_by_lazy_tracked_and_by_auto_compared, .timeout = 300)
{
        static const struct way ways[] = {
                {"lazy-track", {"--mode", "lazy", "--track-dirty"}},
                {"auto-compare", {"--mode", "auto"}},
        };
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;

        need_kvm();
        need_uffd();
        s = make_native(in(&t, "first").path, "64M", "2");
        check_ways(&t, &s, ways, ARRAY_LEN(ways));
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
        json_object_put(check_equal(&t, &s, "half", WORDS("--mode", "lazy", "--fill", "off", "--track-dirty", "--net",
                                                          "4=tap=rtap")));
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
        vm = START(rouse_program(), "restore", s.path, "--timeout", "60s", "--paused", "--fill", "off", "--track-dirty", "--name",
                   unique_name(name));
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
        snprintf(command, sizeof(command), "mkdir %s && cp --sparse=always %s/state %s/memory %s", base.path, s.path, s.path,
                 base.path);
        cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c): a test's own words */
        snprintf(s.path, sizeof(s.path), "%.4100s", base.path);
        child = next_generation_with(&s, in(&t, "child").path, 2, WORDS("--mode", "lazy"), WORDS("--base", s.path));
        assert_wakes(&child, 3, WORDS("--mode", "lazy"));
        snprintf(command, sizeof(command), "touch %s/memory", base.path);
        cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c): a test's own words */
        assert_restore_refused(child.path, 4, WORDS("its memory was written since"));
}

static void assert_save_refused(const char *name, int status, const char *path, const char *base, const char *more,
                                const char *expected)
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
        for (off_t at = lseek(fd, 0, SEEK_DATA); at >= 0;
             at = lseek(fd, at, SEEK_HOLE), at = at < 0 ? at : lseek(fd, at, SEEK_DATA)) {
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
