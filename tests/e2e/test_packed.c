/* Packed snapshots, from a running VM to the next one; and what a page that cannot be had does, packed or not. */
#include "core/base/units.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICKS 40

static void path_in(char ret[4400], const struct tmpdir *t, const char *name)
{
        snprintf(ret, 4400, "%s/%s", t->path, name);
}

static off_t memory_bytes(const char *dir)
{
        char path[4500];
        struct stat st;

        snprintf(path, sizeof(path), "%s/memory", dir);
        cr_assert_eq(stat(path, &st), 0);
        return st.st_size;
}

static struct child run_ok(const char *const *words)
{
        struct child c = child_start(words);

        cr_assert_eq(child_wait(&c, 60000), 0, "exit %d: %s%s", c.status, c.out, c.err);
        return c;
}
#define RUN_OK(...) run_ok(WORDS(__VA_ARGS__))

/* Boots, and saves packed. */
static struct saved make_packed(const char *path, const char *level)
{
        char name[64];
        struct child snap, vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--timeout", "60s", "--name", unique_name(name));
        struct saved s = {0};

        cr_assert(child_wait_output(&vm, "TICK 2 ", 60000), "%s%s", vm.out, vm.err);
        snap = RUN_OK(rouse_program(), "snapshot", name, path, "--pack", "lz4", "--pack-level", level, "--ledger", "-", "--then",
                      "quit");
        cr_expect(strstr(snap.err, "stored)"), "%s", snap.err);
        cr_assert_eq(child_wait(&vm, 60000), 0, "%s", vm.err);
        cr_assert(beacon_last(vm.out, &s.next));
        s.next.n++;
        snprintf(s.path, sizeof(s.path), "%s", path);
        snprintf(s.partial, sizeof(s.partial), "%s", strrchr(vm.out, '\n') + 1);
        child_free(&snap);
        child_free(&vm);
        return s;
}

static void assert_wakes_packed(const struct saved *s, const struct tmpdir *t)
{
        struct child refused;
        char hints[4400];

        path_in(hints, t, "hints");
        assert_wakes(s, TICKS, WORDS("--mode", "eager"));
        assert_wakes(s, TICKS, WORDS("--mode", "eager", "--verify", "off"));
        assert_wakes(s, TICKS, WORDS("--mode", "lazy", "--hints", "none"));
        assert_wakes(s, 3, WORDS("--record", hints));
        assert_wakes(s, TICKS, WORDS("--mode", "lazy", "--hints", hints));
        assert_wakes(s, TICKS, WORDS("--mode", "lazy", "--hints", hints, "--fill", "off", "--verify", "off"));
        assert_wakes(s, TICKS, WORDS("--mode", "auto", "--hints", "none"));
        assert_wakes(s, TICKS, WORDS("--mode", "auto", "--hints", hints));
        assert_wakes(s, TICKS, WORDS("--mode", "auto", "--hints", hints, "--verify", "off"));
        assert_wakes(s, TICKS, WORDS("--mode", "lazy", "--hints", "none", "--memory-backing", "memfd"));
        refused = RUN(20000, rouse_program(), "restore", s->path, "--mode", "mmap");
        cr_expect_eq(refused.status, 2, "exit %d: %s", refused.status, refused.err);
        cr_expect(strstr(refused.err, "packed") && strstr(refused.err, "--mode auto") &&
                  strstr(refused.err, "convert --pack none"), "%s", refused.err);
        child_free(&refused);
}

Test(packed, a_vm_that_was_saved_packed_goes_on_in_every_mode_that_can_and_is_refused_by_mmap, .timeout = 180)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4400];
        struct saved s;

        need_kvm();
        need_uffd();
        path_in(path, &t, "packed");
        s = make_packed(path, "1");
        cr_expect_lt(memory_bytes(path), 24 << 20, "128 MiB, of which the guest has filled 32");
        assert_wakes_packed(&s, &t);
}

static void assert_ledger(const char *words, const char *verify, const char *path)
{
        struct child c = RUN(60000, rouse_program(), "restore", path, "--hints", "none", "--serial", "null", "--paused", "--timeout", "1ms", "--ledger", "-",
                             "--verify", verify);

        cr_expect_eq(c.status, 124, "exit %d: %s", c.status, c.err);
        cr_expect(strstr(c.err, words), "no '%s' in:\n%s", words, c.err);
        cr_expect(strstr(c.err, "\ncopy: ") && strstr(c.err, " runs: packed: unpacked and served by userfaultfd\n"), "%s", c.err);
        child_free(&c);
}

Test(packed, the_ledgers_table_says_what_was_planned_and_why_and_whether_anything_was_checked, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4400];

        need_kvm();
        need_uffd();
        path_in(path, &t, "packed");
        (void)make_packed(path, "1");
        assert_ledger("\nchecksums                  off\n", "off", path);
        assert_ledger("\nchecksums                   on\n", "on", path);
}

Test(packed, a_vm_woken_from_packed_memory_is_saved_whole_and_goes_on, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char first[4400], second[4400];
        struct saved s;

        need_kvm();
        need_uffd();
        path_in(first, &t, "first");
        path_in(second, &t, "second");
        s = make_packed(first, "9");
        s = next_generation(&s, second, 3, WORDS("--hints", "none"));
        assert_wakes(&s, TICKS, WORDS("--hints", "none"));
}

Test(packed, convert_packs_and_unpacks_to_the_same_bytes, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char raw[4400], packed[4400], back[4400], foreign[4400], again[4400], text[9000];
        struct saved s;
        struct child c;

        need_kvm();
        path_in(raw, &t, "raw");
        path_in(packed, &t, "packed");
        path_in(back, &t, "back");
        path_in(foreign, &t, "foreign");
        path_in(again, &t, "again");
        s = make_native(raw, "128M", "1");
        c = RUN_OK(rouse_program(), "convert", raw, packed, "--pack", "lz4", "--pack-level", "12");
        cr_expect(strstr(c.out, "packed to"), "%s", c.out);
        child_free(&c);
        c = RUN_OK(rouse_program(), "convert", packed, back, "--pack", "none");
        child_free(&c);
        snprintf(text, sizeof(text), "cmp %s/memory %s/memory", raw, back);
        cr_expect_eq(system(text), 0);
        c = RUN_OK(rouse_program(), "convert", packed, foreign, "--format", "stratovirt");
        child_free(&c);
        c = RUN_OK(rouse_program(), "convert", foreign, again, "--pack", "lz4");
        child_free(&c);
        c = RUN_OK(rouse_program(), "verify", again);
        child_free(&c);
        snprintf(s.path, sizeof(s.path), "%s/packed", t.path);
        assert_wakes(&s, 5, WORDS("--hints", "none"));
        snprintf(s.path, sizeof(s.path), "%s/again", t.path);
        assert_wakes(&s, 5, WORDS("--hints", "none"));
}

Test(packed, inspect_says_how_it_is_packed, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4400];
        struct child c;

        need_kvm();
        path_in(path, &t, "packed");
        make_packed(path, "3");
        c = RUN_OK(rouse_program(), "inspect", path, "--pages");
        cr_expect(strstr(c.out, "packed     by lz4 at level 3") && strstr(c.out, "of up to 32 KiB") && strstr(c.out, "XXH3-64 of every chunk") && strstr(c.out, "chunk 0 on"),
                  "%s", c.out);
        child_free(&c);
        c = RUN_OK(rouse_program(), "inspect", path, "--json");
        cr_expect(strstr(c.out, "\"codec\":\"lz4\"") && strstr(c.out, "\"level\":3") && strstr(c.out, "\"packed_bytes\":") && strstr(c.out, "\"chunk_bytes\":32768"),
                  "%s", c.out);
        child_free(&c);
}

static void assert_usage(const char *const *words, const char *text)
{
        struct child c = child_start(words);

        cr_expect_eq(child_wait(&c, 20000), 2, "exit %d: %s", c.status, c.err);
        cr_expect(strstr(c.err, text), "%s", c.err);
        child_free(&c);
}

Test(packed, words_that_make_no_sense_are_refused)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = use_fixture("stratovirt/microvm-128m");
        char path[4400];

        path_in(path, &t, "packed");
        assert_usage(WORDS(rouse_program(), "convert", s.path, path, "--pack", "zip"), "expected lz4 or none");
        assert_usage(WORDS(rouse_program(), "convert", s.path, path, "--pack-level", "3"), "--pack-level needs --pack lz4");
        assert_usage(WORDS(rouse_program(), "convert", s.path, path, "--pack", "lz4", "--pack-level", "x"), "expected a number");
        assert_usage(WORDS(rouse_program(), "convert", s.path, path, "--pack", "lz4", "--pack-level", "13"), "expected 1 to 12");
        assert_usage(WORDS(rouse_program(), "convert", s.path, path, "--pack", "lz4", "--format", "stratovirt"), "native");
        assert_usage(WORDS(rouse_program(), "snapshot", "nobody", path, "--pack-level", "3"), "--pack-level needs --pack lz4");
}

/* --- a page that cannot be had --- */

#define FILL_PAGE 8192u /* the first page that the guest fills, and reads at every tick */
#define BAD_PAGE  (FILL_PAGE + 1000)

/* What the guest has there: bytes to be found and spoiled in the memory file, packed or not. */
static void spoil(const char *dir, bool packed)
{
        char path[4500];
        int fd;
        uint8_t bytes[4096];
        off_t at = (off_t)BAD_PAGE * 4096;

        snprintf(path, sizeof(path), "%s/memory", dir);
        fd = open(path, O_RDWR);
        cr_assert_geq(fd, 0);
        if (packed) /* in the middle: a chunk of the pages that the guest fills */
                at = memory_bytes(dir) / 2;
        cr_assert_eq(pread(fd, bytes, 8, at), 8);
        for (int i = 0; i < 8; i++)
                bytes[i] ^= 0x5a;
        cr_assert_eq(pwrite(fd, bytes, 8, at), 8);
        close(fd);
}

/* The pages before it were right, and nothing after it was seen. */
static void check_lost(const char *guest, bool packed, const char *mode)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char raw[4400], path[4400];
        struct child vm, c;

        need_kvm();
        need_uffd();
        path_in(raw, &t, "raw");
        path_in(path, &t, "snapshot");
        make_native_of(guest, raw, 2, WORDS("--memory", "128M"));
        c = RUN_OK(rouse_program(), "convert", raw, path, "--pack", packed ? "lz4" : "none");
        child_free(&c);
        spoil(path, packed);
        vm = RUN(40000, rouse_program(), "restore", path, "--mode", mode, "--hints", "none", "--fill", "off", "--timeout", "30s");
        cr_expect_eq(vm.status, 5, "exit %d; it said:\n%s%s", vm.status, vm.out, vm.err);
        cr_expect(strstr(vm.err, "memory: offset ") && strstr(vm.err, "page ") && strstr(vm.err, "checksum"), "%s", vm.err);
        cr_expect_eq(strstr(vm.err, "chunk ") != NULL, packed, "%s", vm.err);
        cr_expect(packed || strstr(vm.err, "page 9192 "), "%s", vm.err);
        cr_expect(strstr(vm.out, "at 64\n"), "the pages before it were not read:\n%s", vm.out);
        cr_expect_null(strstr(vm.out, "at 4032"), "the guest went on over it:\n%s", vm.out);
        cr_expect_null(strstr(vm.out, "bad=1"), "%s", vm.out);
        child_free(&vm);
}

/* Natively running code, as at CPL 3, gets a SIGBUS. */
Test(packed, a_bad_raw_page_that_the_guest_reads_at_cpl_3_ends_it_with_exit_5, .timeout = 90)
{
        check_lost("touch", false, "lazy");
}

Test(packed, a_bad_chunk_that_the_guest_reads_at_cpl_3_ends_it_with_exit_5, .timeout = 90)
{
        check_lost("touch", true, "lazy");
        check_lost("touch", true, "auto");
}

/* KVM's emulator, that some hosts have for CPL 0, makes an MMIO access of it, inside a slot. */
Test(packed, a_bad_raw_page_that_the_guest_reads_at_cpl_0_ends_it_with_exit_5, .timeout = 90)
{
        check_lost("touch0", false, "lazy");
}

Test(packed, a_bad_chunk_that_the_guest_reads_at_cpl_0_ends_it_with_exit_5, .timeout = 90)
{
        check_lost("touch0", true, "lazy");
}

/* Every flipped byte: the snapshot is refused, or a page is lost, or what is read is right. */
Test(packed, a_snapshot_with_a_flipped_byte_is_refused_or_loses_pages_but_never_shows_wrong_bytes, .timeout = 180)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        static const char *const files[] = {"memory", "pages", "memory", "pages"};
        char raw[4400], path[4400], file[4500];
        struct child c;
        unsigned lost = 0, refused = 0;

        need_kvm();
        need_uffd();
        path_in(raw, &t, "raw");
        path_in(path, &t, "snapshot");
        make_native_of("touch", raw, 2, WORDS("--memory", "128M"));
        c = RUN_OK(rouse_program(), "convert", raw, path, "--pack", "lz4");
        child_free(&c);
        for (unsigned i = 0; i < 12; i++) {
                uint8_t byte;
                struct stat st;
                int fd;
                off_t at;

                snprintf(file, sizeof(file), "%s/%s", path, files[i % 4]);
                fd = open(file, O_RDWR);
                cr_assert(fd >= 0 && fstat(fd, &st) == 0);
                at = st.st_size * (2 * i + 1) / 25;
                cr_assert_eq(pread(fd, &byte, 1, at), 1);
                byte ^= 0x24;
                cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
                c = RUN(40000, rouse_program(), "restore", path, "--hints", "none", "--until", "TICK", "--timeout", "30s");
                cr_expect(c.status == 0 || c.status == 4 ||
                          c.status == 5, "%s, byte %lld: exit %d: %s%s", files[i % 4], (long long)at, c.status, c.out, c.err);
                cr_expect(c.status == 4 || !strstr(c.out, "bad=") || strstr(c.out, "bad=0"), "%s", c.out);
                lost += c.status == 5;
                refused += c.status == 4;
                child_free(&c);
                byte ^= 0x24;
                cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
                close(fd);
        }
        cr_expect_geq(refused, 6, "each of `pages`");
        cr_expect_geq(lost, 3);
}
