/* What goes wrong while the guest runs: a lost page ends the VM with exit 5 and is never zeros; a full disk costs no VM. */
#include "tests/support/edit_native.h"
#include "tests/support/fixture.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include "core/base/units.h"
#include "core/probe.h"
#include "core/session_internal.h"
#include "kvm/vm_internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* A copy that may be changed. */
static void copy_fixture(const char *name, const char *to)
{
        char command[9000];

        snprintf(command, sizeof(command), "cp -r %s %s && chmod -R u+w %s", fixture_dir(name), to, to);
        cr_assert_eq(system(command), 0, "%s", command);
}


/* Cuts the memory file of a snapshot between its build and its first run; returns how the VM ended. */
static void run_cut(const char *fixture, enum restore_mode mode, const struct host_caps *caps, struct session_result *ret,
                    bool *ret_answered)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct restore_options o = {
                .common = {.serial_out_fd = -1, .timeout_ns = 20 * NS_PER_S, .caps = caps}, .mode = mode, .hints = HINTS_NONE,
                .source_timeout_ms = 5000,
        };
        struct session *s;
        struct err err = {0};
        char dir[4300], memory[4400];

        snprintf(dir, sizeof(dir), "%s/copy", t.path);
        copy_fixture(fixture, dir);
        o.path = dir;
        cr_assert_eq(session_restore(&o, &s, &err), 0, "%s", err.text);
        snprintf(memory, sizeof(memory), "%s/memory", dir);
        cr_assert_eq(truncate(memory, 8192 + (32 << 20)), 0); /* all that the guest fills lies behind it */
        session_run(s, ret);
        *ret_answered = session_ledger(s)->t_ns[LEDGER_T3] != 0;
        session_free(s);
}

static void check_cut(enum restore_mode mode, bool poison)
{
        struct session_result result = {0};
        struct host_caps caps;
        bool answered;

        need_kvm();
        need_uffd();
        host_probe(&caps);
        caps.uffd_poison &= poison;
        run_cut("stratovirt/microvm-128m", mode, &caps, &result, &answered);
        cr_expect_eq(result.why, SESSION_LOST, "why %d: %s", (int)result.why, result.err.text);
        cr_expect_eq(result.err.kind, ERR_LOST, "so that the exit status is 5");
        cr_expect(strstr(result.err.text, "memory: offset ") && strstr(result.err.text, "expected") &&
                  strstr(result.err.text, "found"), "%s", result.err.text);
        cr_expect_not(answered, "the guest went on over a lost page");
}

Test(faults, a_memory_file_cut_short_under_a_lazy_restore_ends_it_with_exit_5, .timeout = 90)
{
        check_cut(RESTORE_LAZY, true);
}

Test(faults, a_memory_file_cut_short_under_an_auto_restore_ends_it_with_exit_5, .timeout = 90)
{
        check_cut(RESTORE_AUTO, true);
}

Test(faults, a_memory_file_cut_short_under_an_mmap_restore_ends_it_with_exit_5, .timeout = 90)
{
        check_cut(RESTORE_MMAP, true);
}

/* The same while it ticks: every page that it needs is there already, its own writes too, and the kernel takes them away. */
static void change_while_it_ticks(const char *mode, const char *command)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct child vm;
        char dir[4300], text[9000];

        need_kvm();
        need_uffd();
        snprintf(dir, sizeof(dir), "%s/copy", t.path);
        copy_fixture("stratovirt/microvm-128m", dir);
        vm = START(rouse_program(), "restore", dir, "--mode", mode, "--timeout", "30s");
        cr_assert(child_wait_output(&vm, "TICK 6 ", 20000), "%s", vm.err);
        snprintf(text, sizeof(text), "cd %s && %s", dir, command);
        cr_assert_eq(system(text), 0);
        cr_expect_eq(child_wait(&vm, 40000), 5, "exit %d: %s", vm.status, vm.err);
        cr_expect(strstr(vm.err, "memory: ") && strstr(vm.err, "expected") && strstr(vm.err, "found"), "%s", vm.err);
        child_free(&vm);
}

Test(faults, a_mapped_memory_file_that_is_cut_while_the_guest_ticks_ends_it_with_exit_5, .timeout = 90)
{
        change_while_it_ticks("mmap", "truncate -s 0 memory");
}

Test(faults, a_file_that_auto_maps_and_that_is_cut_while_the_guest_ticks_ends_it_with_exit_5, .timeout = 90)
{
        change_while_it_ticks("auto", "truncate -s 0 memory");
}

Test(faults, a_mapped_memory_file_that_is_written_anew_ends_it_with_exit_5, .timeout = 90)
{
        change_while_it_ticks("mmap", "n=$(stat -c %s memory) && truncate -s 0 memory && truncate -s $n memory");
}

/* A native snapshot where every page that the guest fills (32 MiB from 32 MiB on) has a byte that its sum does not know. */
static void make_damaged(const char *path)
{
        char memory[4400];
        FILE *f;

        make_native(path, "128M", "1");
        snprintf(memory, sizeof(memory), "%s/memory", path);
        f = fopen(memory, "r+");
        cr_assert_not_null(f);
        for (long page = 0; page < 8192; page++) {
                fseek(f, (32l << 20) + page * 4096 + 3000, SEEK_SET); /* past its header words */
                fputc(0xff, f);
        }
        cr_assert_eq(fclose(f), 0);
}

/* A native page whose byte was flipped is never given to the guest. */
Test(faults, a_page_that_does_not_match_its_checksum_is_lost_and_never_seen_by_the_guest, .timeout = 90)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct child vm;
        char path[4300];

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/native", t.path);
        make_damaged(path);
        vm = RUN(40000, rouse_program(), "restore", path, "--hints", "none", "--fill", "off", "--timeout", "30s");
        cr_expect_eq(vm.status, 5, "exit %d; it said:\n%s%s", vm.status, vm.out, vm.err);
        cr_expect(strstr(vm.err, "checksum") && strstr(vm.err, "offset"), "%s", vm.err);
        cr_expect_null(strstr(vm.out, "TICK"), "%s", vm.out);
        child_free(&vm);
}

/* A disk that took such a page for granted would write zeros in its stead. */
Test(faults, devices_go_on_looking_at_every_page_where_one_is_lost_that_nobody_asked_for_yet, .timeout = 90)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct restore_options o = {
                .common = {.serial_out_fd = -1, .timeout_ns = 60 * NS_PER_S, .paused = true}, .hints = HINTS_NONE, .fill = true,
                .verify = true,
        };
        struct session *s;
        struct err err = {0};
        char path[4300];

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/native", t.path);
        make_damaged(path);
        o.path = path;
        cr_assert_eq(session_restore(&o, &s, &err), 0, "%s", err.text);
        cr_assert_eq(session_wait_settled(s, 30000), -EIO);
        cr_expect_neq(session_ledger(s)->t_ns[LEDGER_T6], 0);
        cr_expect_not(atomic_load(&s->vm->slots.env.settled));
        session_free(s);
}

Test(faults, without_poison_a_lost_page_stops_the_vm_before_its_fault_is_answered, .timeout = 90)
{
        check_cut(RESTORE_LAZY, false);
}

static void flip(const char *dir, uint64_t page)
{
        char path[4400];
        uint8_t byte;
        int fd;

        snprintf(path, sizeof(path), "%s/memory", dir);
        fd = open(path, O_RDWR);
        cr_assert(fd >= 0 && pread(fd, &byte, 1, (off_t)(page * PAGE_BYTES) + 3000) == 1);
        byte ^= 0x10;
        cr_assert_eq(pwrite(fd, &byte, 1, (off_t)(page * PAGE_BYTES) + 3000), 1);
        close(fd);
}

/* KVM walks the guest's page tables itself: there a lost page is neither a SIGBUS nor an MMIO access. */
Test(faults, a_lost_page_of_the_guests_page_tables_ends_it_with_exit_5, .timeout = 90)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct child vm;
        char path[4300];

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/native", t.path);
        make_native(path, "128M", "1");
        for (uint64_t page = 0x1004; page < 0x1009; page++) /* beacon's page directories: every address of its lies in them */
                flip(path, page);
        vm = RUN(40000, rouse_program(), "restore", path, "--hints", "none", "--fill", "on", "--timeout", "20s");
        cr_expect_eq(vm.status, 5, "exit %d; it said:\n%s%s", vm.status, vm.out, vm.err);
        cr_expect_eq(vm.out_len, 0, "the guest went on: %s", vm.out);
        child_free(&vm);
}

/* The vCPU has its kvmclock at the page: KVM touches it while MSRs are set. */
static void move_kvmclock(struct vm_state *vm, void *arg)
{
        const uint64_t *page = arg;
        bool found = false;

        for (uint32_t i = 0; i < vm->vcpus[0].nr_msrs; i++)
                if (vm->vcpus[0].msrs[i].index == 0x4b564d01) { /* MSR_KVM_SYSTEM_TIME_NEW */
                        vm->vcpus[0].msrs[i].data = *page * PAGE_BYTES | 1;
                        found = true;
                }
        cr_assert(found);
}

static void check_bad_kvmclock(bool poison)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct host_caps caps;
        struct restore_options o = {.common = {.serial_out_fd = -1, .caps = &caps}, .hints = HINTS_NONE, .verify = true,
                                    .source_timeout_ms = 2000};
        struct session_result result = {0};
        struct session *s = NULL;
        struct err e = {0};
        char from[4300], to[4300];
        uint64_t page = 0x2100;

        need_kvm();
        need_uffd();
        host_probe(&caps);
        caps.uffd_poison &= poison;
        snprintf(from, sizeof(from), "%s/from", t.path);
        snprintf(to, sizeof(to), "%s/to", t.path);
        make_native(from, "128M", "1");
        edit_native(from, to, move_kvmclock, &page);
        flip(to, page);
        o.path = to;
        o.common.timeout_ns = 20 * NS_PER_S;
        if (session_restore(&o, &s, &e) < 0) {
                cr_expect_eq(e.kind, ERR_SNAPSHOT, "%s", e.text); /* KVM touched it while MSRs were set */
        } else {
                session_run(s, &result); /* or at the first entry */
                cr_expect_eq(result.why, SESSION_LOST, "why %d: %s", (int)result.why, result.err.text);
                e = result.err;
                session_free(s);
        }
        cr_expect(strstr(e.text, "page 8448") && strstr(e.text, "checksum"), "%s", e.text);
}

Test(faults, a_bad_page_that_kvm_touches_while_state_is_set_is_refused, .timeout = 60)
{
        check_bad_kvmclock(true);
}

Test(faults, a_bad_page_that_kvm_touches_while_state_is_set_is_refused_without_poison_too, .timeout = 60)
{
        check_bad_kvmclock(false);
}

Test(faults, out_of_disk_space_the_vm_goes_on_and_no_directory_is_left, .timeout = 90)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char name[64], small[4300], path[4400];
        struct child vm, snap;
        struct stat st;

        need_kvm();
        snprintf(small, sizeof(small), "%s/small", t.path);
        cr_assert_eq(mkdir(small, 0700), 0);
        if (mount("tmpfs", small, "tmpfs", 0, "size=8m") != 0)
                cr_skip_test("mounting a small tmpfs needs root");
        snprintf(path, sizeof(path), "%s/snapshot", small);
        vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--name", unique_name(name), "--until",
                   "TICK 40 ", "--timeout", "60s");
        cr_assert(child_wait_output(&vm, "TICK 2 ", 60000), "%s", vm.err);
        snap = RUN(30000, rouse_program(), "snapshot", name, path, "--then", "quit");
        cr_expect_eq(snap.status, 1, "exit %d: %s", snap.status, snap.err);
        cr_expect(strstr(snap.err, "space"), "%s", snap.err);
        cr_expect_neq(stat(path, &st), 0, "the target directory exists");
        cr_expect_eq(rmdir(path), -1);
        snprintf(path, sizeof(path), "[ -z \"$(ls -A %s)\" ]", small);
        cr_expect_eq(system(path), 0, "something was left behind");
        cr_expect_eq(child_wait(&vm, 60000), 0, "the VM did not go on: %s", vm.err);
        cr_expect(strstr(vm.out, "TICK 40 "));
        umount(small);
        child_free(&vm);
        child_free(&snap);
}
