/* Snapshots of one format written as another, by rouse convert and by a running VM: they wake, or nothing is left. */
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/convert.h"
#include "tests/support/disk.h"
#include "tests/support/fixture.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 60000

/* What the user has recorded for the fixtures is not taken along; and root, who can make any directory, makes none here. */
static void leave_home(void)
{
        setenv("XDG_DATA_HOME", "/proc/nowhere", 1);
}

TestSuite(convert, .init = leave_home);

static const char *const modes[] = {"lazy", "mmap", "eager"};

static void convert(const char *from, const char *to, const char *format)
{
        struct child c = RUN(PATIENCE_MS, rouse_program(), "convert", from, to, "--format", format);

        cr_assert_eq(c.status, 0, "rouse convert said: %s", c.err);
        cr_assert(strstr(c.out, to) && strstr(c.out, format), "%s", c.out);
        cr_assert_eq(c.err_len, 0, "no terminal, and yet: %s", c.err);
        child_free(&c);
}

/* s, but at another path. */
static struct saved at(const struct saved *s, const char *path)
{
        struct saved ret = *s;

        snprintf(ret.path, sizeof(ret.path), "%.4100s", path);
        return ret;
}

static void assert_wakes_in_every_mode(const struct saved *s)
{
        for (size_t i = 0; i < ARRAY_LEN(modes); i++)
                assert_wakes(s, 5, WORDS("--mode", modes[i]));
}

static int count_entries(const char *path)
{
        DIR *d = opendir(path);
        int n = 0;

        cr_assert_not_null(d);
        for (struct dirent *x; (x = readdir(d));)
                n += strcmp(x->d_name, ".") && strcmp(x->d_name, "..");
        closedir(d);
        return n;
}

static void assert_same_file(const char *a, const char *b, const char *name)
{
        char command[9000];

        snprintf(command, sizeof(command), "cmp %s/%s %s/%s", a, name, b, name);
        cr_assert_eq(system(command), 0, "%s", command);
}

/* --- what works --- */

/* To native, to StratoVirt's, to native again: each wakes, and of the memory not a bit is lost. */
static void check_there_and_back(const char *fixture, bool has_disk)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = use_fixture(fixture), native, sv;
        char first[4300], second[4300], third[4300];

        need_kvm();
        need_uffd();
        snprintf(first, sizeof(first), "%s/native", t.path);
        snprintf(second, sizeof(second), "%s/stratovirt", t.path);
        snprintf(third, sizeof(third), "%s/again", t.path);
        convert(s.path, first, "native");
        convert(first, second, "stratovirt");
        convert(second, third, "native");
        assert_same_file(s.path, second, "memory");
        assert_same_file(first, third, "memory");
        if (has_disk) {
                snprintf(s.disk, sizeof(s.disk), "%s/disk", t.path);
                make_disk(s.disk);
                s.known_disk = true;
        }
        native = at(&s, third);
        sv = at(&s, second);
        assert_wakes_in_every_mode(&native);
        assert_wakes_in_every_mode(&sv);
}

Test(convert, a_stratovirt_snapshot_there_and_back_wakes_with_the_next_tick, .timeout = 200)
{
        check_there_and_back("stratovirt/microvm-128m", false);
}

Test(convert, a_stratovirt_snapshot_with_a_disk_there_and_back_wakes_with_the_next_tick, .timeout = 200)
{
        check_there_and_back("stratovirt/microvm-128m-blk", true);
}

Test(convert, what_a_stratovirt_snapshot_becomes_natively_can_be_verified, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300];
        struct child c;

        snprintf(path, sizeof(path), "%s/native", t.path);
        convert(fixture_dir("stratovirt/microvm-128m"), path, "native");
        c = RUN(PATIENCE_MS, rouse_program(), "verify", path);
        cr_assert_eq(c.status, 0, "%s", c.err);
        cr_assert(strstr(c.out, "checksums match"), "%s", c.out);
        child_free(&c);
}

/* The state differs in what StratoVirt leaves to chance: addresses of its own process. */
Test(convert, a_state_that_went_there_and_back_is_written_the_same_twice, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char paths[3][4300];

        for (int i = 0; i < 3; i++)
                snprintf(paths[i], sizeof(paths[i]), "%s/%d", t.path, i);
        convert(fixture_dir("stratovirt/microvm-256m-smp2-blk-net"), paths[0], "stratovirt");
        convert(paths[0], paths[1], "native");
        convert(paths[1], paths[2], "stratovirt");
        assert_same_file(paths[0], paths[2], "state");
        assert_same_file(paths[0], paths[2], "memory");
}

/* A VM that rouse booted, saved while it runs as what StratoVirt restores. */
static void check_saved_as_stratovirt(const char *cpus)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char name[64], path[4300], native[4300];
        struct child vm, snap;
        struct saved s = {0}, n;

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/stratovirt", t.path);
        snprintf(native, sizeof(native), "%s/native", t.path);
        vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--cpus", cpus, "--name",
                   unique_name(name),
                   "--timeout", "60s");
        cr_assert(child_wait_output(&vm, "TICK 2 ", PATIENCE_MS), "%s", vm.err);
        snap = RUN(PATIENCE_MS, rouse_program(), "snapshot", name, path, "--format", "stratovirt", "--then", "quit");
        cr_assert_eq(snap.status, 0, "%s", snap.err);
        cr_assert_eq(child_wait(&vm, PATIENCE_MS), 0, "%s", vm.err);
        cr_assert(beacon_last(vm.out, &s.next), "%s", vm.out);
        s.next.n++;
        snprintf(s.path, sizeof(s.path), "%.4100s", path);
        snprintf(s.partial, sizeof(s.partial), "%s", strrchr(vm.out, '\n') + 1);
        assert_wakes_in_every_mode(&s);
        convert(path, native, "native");
        n = at(&s, native);
        assert_wakes_in_every_mode(&n);
        child_free(&vm);
        child_free(&snap);
}

Test(convert, a_running_vm_saved_as_stratovirt_wakes_with_the_next_tick, .timeout = 200)
{
        check_saved_as_stratovirt("1");
}

Test(convert, a_running_vm_of_two_vcpus_saved_as_stratovirt_wakes_with_the_next_tick, .timeout = 200)
{
        check_saved_as_stratovirt("2");
}

/* --- what does not --- */

/* Exit `status` with one line that has `word`, and the directory as before. */
static void assert_refused(int status, const char *word, const char *dir, const char *from, const char *to, const char *format)
{
        int before = count_entries(dir);
        struct child c = RUN(PATIENCE_MS, rouse_program(), "convert", from, to, "--format", format);

        cr_expect_eq(c.status, status, "expected exit %d, found %d: %s%s", status, c.status, c.out, c.err);
        cr_expect(strstr(c.err, word), "expected '%s' in: %s", word, c.err);
        cr_expect(c.err_len && strchr(c.err, '\n') == c.err + c.err_len - 1, "expected one line, found: %s", c.err);
        cr_expect_eq(c.out_len, 0, "%s", c.out);
        cr_expect_eq(count_entries(dir), before, "something was left behind");
        child_free(&c);
}

static void flip_byte(const char *dir, const char *name, off_t offset)
{
        char path[4400];
        unsigned char b;
        int fd;

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        fd = open(path, O_RDWR | O_CLOEXEC);
        cr_assert_geq(fd, 0);
        cr_assert_eq(pread(fd, &b, 1, offset), 1);
        b ^= 1;
        cr_assert_eq(pwrite(fd, &b, 1, offset), 1);
        close(fd);
}

/* A native snapshot of the plain fixture at `name` in t. */
static void make_source(const struct tmpdir *t, const char *name, char ret_path[4300])
{
        snprintf(ret_path, 4300, "%s/%s", t->path, name);
        convert(fixture_dir("stratovirt/microvm-128m"), ret_path, "native");
}

Test(convert, a_damaged_source_is_refused_and_nothing_is_left, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char from[4300], to[4300], memory[4400];

        snprintf(to, sizeof(to), "%s/to", t.path);
        make_source(&t, "flipped", from);
        flip_byte(from, "memory", 0x1000000 + 5); /* the guest's code lies there: no hole */
        assert_refused(4, "checksum", t.path, from, to, "stratovirt");
        assert_refused(4, "memory", t.path, from, to, "native");
        make_source(&t, "state", from);
        flip_byte(from, "state", 2000);
        assert_refused(4, "state", t.path, from, to, "stratovirt");
        make_source(&t, "cut", from);
        snprintf(memory, sizeof(memory), "%s/memory", from);
        cr_assert_eq(truncate(memory, 64 << 20), 0);
        assert_refused(4, "memory", t.path, from, to, "stratovirt");
}

Test(convert, a_destination_that_exists_is_refused_unless_it_is_to_be_replaced, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char from[4300], to[4300];
        struct child c;

        make_source(&t, "from", from);
        snprintf(to, sizeof(to), "%s/to", t.path);
        cr_assert_eq(mkdir(to, 0700), 0);
        convert(from, to, "stratovirt"); /* an empty one may give its place */
        assert_refused(1, "--replace", t.path, from, to, "native");
        cr_assert_eq(count_entries(to), 2);
        c = RUN(PATIENCE_MS, rouse_program(), "convert", from, to, "--replace");
        cr_assert_eq(c.status, 0, "%s", c.err);
        cr_assert_eq(count_entries(to), 3); /* state, memory, pages */
        cr_assert_eq(count_entries(t.path), 2);
        child_free(&c);
}

Test(convert, wrong_words_and_a_source_that_is_not_there_end_as_they_should, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char from[4300], to[4300];
        struct child c;

        snprintf(from, sizeof(from), "%s/from", t.path);
        snprintf(to, sizeof(to), "%s/to", t.path);
        assert_refused(1, "from", t.path, from, to, "native");
        assert_refused(2, "native or stratovirt", t.path, fixture_dir("stratovirt/microvm-128m"), to, "qcow2");
        assert_refused(4, "known format", t.path, t.path, to, "native");
        c = RUN(PATIENCE_MS, rouse_program(), "convert", from);
        cr_assert_eq(c.status, 2, "%s", c.err);
        child_free(&c);
}

/* --- what happens meanwhile --- */

struct meanwhile {
        char memory[4400]; /* written, when it is asked for the second time */
        int  give_up_at, asked;
};

static bool meanwhile(void *arg)
{
        struct meanwhile *m = arg;
        int fd;

        if (++m->asked == 2 && m->memory[0]) {
                fd = open(m->memory, O_WRONLY | O_CLOEXEC);
                cr_assert_geq(fd, 0);
                cr_assert_eq(pwrite(fd, "x", 1, 64 << 20), 1);
                close(fd);
        }
        return m->asked == m->give_up_at;
}

/* A snapshot of StratoVirt has no checksums that would tell. */
Test(convert, a_source_that_is_written_meanwhile_is_refused_and_nothing_is_left, .timeout = 120)
{
        const struct timespec long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct meanwhile m = {0};
        char command[9000], from[4300], to[4300];
        struct convert_options o = {.src = from, .dst = to, .format = "native", .cancelled = meanwhile, .cancelled_arg = &m};
        struct convert_report report;
        struct err err = {0};

        snprintf(from, sizeof(from), "%s/from", t.path);
        snprintf(to, sizeof(to), "%s/to", t.path);
        snprintf(command, sizeof(command), "cp -r %s %s && chmod -R u+w %s", fixture_dir("stratovirt/microvm-128m"), from, from);
        cr_assert_eq(system(command), 0);
        snprintf(m.memory, sizeof(m.memory), "%s/memory", from);
        cr_assert_eq(utimensat(AT_FDCWD, m.memory, long_ago, 0), 0);
        cr_expect_lt(snapshot_convert(&o, &report, &err), 0);
        cr_expect(strstr(err.text, "written meanwhile") && strstr(err.text, "memory"), "%s", err.text);
        cr_expect_eq(err.kind, ERR_SNAPSHOT);
        cr_expect_eq(count_entries(t.path), 1, "something was left behind");
}

Test(convert, a_conversion_that_is_cancelled_leaves_nothing, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct meanwhile m = {.give_up_at = 3};
        char to[4300];
        struct convert_options o = {
                .src = fixture_dir("stratovirt/microvm-128m"), .dst = to, .format = "stratovirt", .cancelled = meanwhile,
                .cancelled_arg = &m};
        struct convert_report report;
        struct err err = {0};

        snprintf(to, sizeof(to), "%s/to", t.path);
        cr_expect_eq(snapshot_convert(&o, &report, &err), -ECANCELED);
        cr_expect_eq(count_entries(t.path), 0, "something was left behind");
}

Test(convert, a_signal_ends_it_and_leaves_nothing, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        uint64_t until_ns = now_ns() + 10 * NS_PER_S;
        char to[4300];
        struct child c;

        setenv("XDG_DATA_HOME", "/nonexistent", 1);
        snprintf(to, sizeof(to), "%s/to", t.path);
        c = START(rouse_program(), "convert", fixture_dir("stratovirt/microvm-128m"), to);
        while (!count_entries(t.path) && now_ns() < until_ns)
                usleep(500);
        child_kill(&c, SIGTERM);
        child_wait(&c, PATIENCE_MS);
        cr_expect_eq(c.status, 128 + SIGTERM, "exit %d: %s", c.status, c.err);
        cr_expect_eq(count_entries(t.path), 0, "something was left behind");
        child_free(&c);
}

/* 8 MiB on a file system of their own, mounted where only this test sees it. */
static void mount_small(const struct tmpdir *t, char ret_dir[4300])
{
        snprintf(ret_dir, 4300, "%s/small", t->path);
        cr_assert_eq(mkdir(ret_dir, 0700), 0);
        /* In a chroot "/" is no mount point and cannot be made private; the mount is undone either way. */
        if (unshare(CLONE_NEWNS) < 0 || (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 && errno != EINVAL) ||
            mount("tmpfs", ret_dir, "tmpfs", 0, "size=8m") < 0)
                cr_skip_test("no right to mount a small file system");
}

Test(convert, a_full_file_system_leaves_nothing_behind, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char small[4300], from[4300], to[4400];

        make_source(&t, "from", from);
        setenv("XDG_DATA_HOME", t.path, 1); /* where no page index of the fixture is */
        mount_small(&t, small);
        snprintf(to, sizeof(to), "%s/to", small);
        assert_refused(1, "bytes of free space", small, from, to, "stratovirt"); /* it is known before */
        assert_refused(1, "No space left", small, fixture_dir("stratovirt/microvm-128m"), to, "native"); /* it shows */
        cr_assert_eq(umount(small), 0);
}

Test(convert, a_vm_without_room_for_its_snapshot_is_told_before_it_is_stopped, .timeout = 120)
{
        static const char *const formats[] = {"native", "stratovirt"};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char name[64], small[4300], path[4400];
        struct child vm;

        need_kvm();
        mount_small(&t, small);
        snprintf(path, sizeof(path), "%s/snapshot", small);
        vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--name", unique_name(name), "--until",
                   "TICK 40 ", "--timeout", "60s");
        cr_assert(child_wait_output(&vm, "TICK 2 ", PATIENCE_MS), "%s", vm.err);
        for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
                struct child snap = RUN(PATIENCE_MS, rouse_program(), "snapshot", name, path, "--format", formats[i], "--then",
                                        "quit");

                cr_expect_eq(snap.status, 1, "exit %d: %s", snap.status, snap.err);
                cr_expect(strstr(snap.err, "bytes of free space"), "%s", snap.err);
                cr_expect_eq(count_entries(small), 0, "something was left behind");
                child_free(&snap);
        }
        cr_expect_eq(child_wait(&vm, PATIENCE_MS), 0, "the VM did not go on: %s", vm.err);
        cr_expect(strstr(vm.out, "TICK 40 "));
        child_free(&vm);
        cr_assert_eq(umount(small), 0);
}

/* StratoVirt keeps no queues of a balloon. */
Test(convert, a_vm_that_stratovirt_cannot_hold_is_told_why_and_goes_on, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char name[64], path[4400];
        struct child vm, snap;

        need_kvm();
        snprintf(path, sizeof(path), "%s/snapshot", t.path);
        vm = START(rouse_program(), "run", "--kernel", guest_file("balloon"), "--memory", "128M", "--balloon", "--name",
                   unique_name(name),
                   "--until", "TICK 40 ", "--timeout", "60s");
        cr_assert(child_wait_output(&vm, "TICK 2 ", PATIENCE_MS), "%s", vm.err);
        snap = RUN(PATIENCE_MS, rouse_program(), "snapshot", name, path, "--format", "stratovirt", "--then", "quit");
        cr_expect_eq(snap.status, 1, "exit %d: %s", snap.status, snap.err);
        cr_expect(strstr(snap.err, "balloon device in slot 6") && strstr(snap.err, "native format"), "%s", snap.err);
        cr_expect_eq(count_entries(t.path), 0, "something was left behind");
        cr_expect_eq(child_wait(&vm, PATIENCE_MS), 0, "the VM did not go on: %s", vm.err);
        cr_expect(strstr(vm.out, "TICK 40 "));
        child_free(&vm);
        child_free(&snap);
}
