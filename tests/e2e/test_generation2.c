/* A StratoVirt snapshot of generation 2 (2.3, 2.4) goes on where it stood, and a read that was under way completes. No StratoVirt
 * restores a microVM of that generation, so a generation 3 one is written anew in the older layout by a writer of the tests'
 * own. */
#include "tests/support/disk.h"
#include "tests/support/need.h"
#include "tests/support/sv_generation2.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TICKS 101

static struct saved make_generation_2(const char *fixture, bool with_disk, const struct tmpdir *t)
{
        struct saved s = use_fixture(fixture);
        char path[4200];

        need_kvm();
        need_uffd();
        setenv("XDG_DATA_HOME", t->path, 1);
        snprintf(path, sizeof(path), "%s/generation-2", t->path);
        cr_assert_eq(sv2_convert(s.path, path), 0);
        snprintf(s.path, sizeof(s.path), "%s", path);
        if (with_disk) {
                snprintf(s.disk, sizeof(s.disk), "%s/disk.img", t->path);
                make_disk(s.disk);
                s.known_disk = true;
        }
        return s;
}

static void check(const char *fixture, bool with_disk)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make_generation_2(fixture, with_disk, &t);
        char hints[4300];

        snprintf(hints, sizeof(hints), "%s/hints", t.path);
        assert_wakes(&s, TICKS, WORDS("--mode", "eager"));
        assert_wakes(&s, TICKS, WORDS("--mode", "mmap"));
        assert_wakes(&s, 3, WORDS("--record", hints));
        assert_wakes(&s, TICKS, WORDS("--mode", "lazy", "--hints", hints));
}

Test(generation2, a_guest_with_a_disk_goes_on_in_every_mode, .timeout = 120)
{
        check("stratovirt/microvm-128m-blk", true);
}

Test(generation2, a_guest_of_two_vcpus_with_a_disk_goes_on_in_every_mode, .timeout = 120)
{
        check("stratovirt/microvm-256m-smp2-blk-net", true);
}

/* The transport had taken the guest's last request and not returned it when it was saved. */
Test(generation2, a_read_that_was_in_flight_completes, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = use_fixture("stratovirt/microvm-128m-blk");
        char path[4200];

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/in-flight", t.path);
        cr_assert_eq(sv2_convert_in_flight(s.path, path, 0, 1), 0);
        snprintf(s.path, sizeof(s.path), "%s", path);
        snprintf(s.disk, sizeof(s.disk), "%s/disk.img", t.path);
        make_disk(s.disk);
        s.known_disk = true;
        assert_wakes(&s, 11, WORDS("--mode", "lazy"));
}

/* What is in flight is looked for in the rings, before the guest runs. */
Test(generation2, rings_that_are_lost_make_a_bad_snapshot, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char from[4200], to[4200], memory[4300], disk[4210];
        struct child vm;
        FILE *f;

        need_kvm();
        need_uffd();
        snprintf(from, sizeof(from), "%s/in-flight", t.path);
        snprintf(to, sizeof(to), "%s/native", t.path);
        snprintf(memory, sizeof(memory), "%s/memory", to);
        snprintf(disk, sizeof(disk), "0=%s/disk.img", t.path);
        make_disk(disk + 2);
        cr_assert_eq(sv2_convert_in_flight(use_fixture("stratovirt/microvm-128m-blk").path, from, 0, 1), 0);
        vm = RUN(30000, rouse_program(), "convert", from, to, "--format", "native");
        cr_assert_eq(vm.status, 0, "%s", vm.err);
        child_free(&vm);
        f = fopen(memory, "r+");
        cr_assert_not_null(f);
        fseek(f, 0x1028000 + 3000, SEEK_SET); /* the page of the guest's rings, as expect.json has it */
        fputc(0xff, f);
        cr_assert_eq(fclose(f), 0);
        vm = RUN(40000, rouse_program(), "restore", to, "--disk", disk, "--hints", "none", "--timeout", "30s");
        cr_expect_eq(vm.status, 4, "exit %d: %s", vm.status, vm.err);
        cr_expect(strstr(vm.err, "checksum") && strstr(vm.err, "memory: offset "), "%s", vm.err);
        child_free(&vm);
}
