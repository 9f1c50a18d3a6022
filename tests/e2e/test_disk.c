/* A guest that writes its disk by interrupt while it is saved and woken, over and over: nothing is lost, nothing doubled. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "tests/support/disk.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WRITER_DISK_BYTES (2 << 20) /* 4096 sectors, as many as the guest remembers */
#define WRITES_A_TICK     8

static struct saved boot_writer(const struct tmpdir *t, const char *extra)
{
        char disk[4300], word[4400], path[4300];
        struct saved s;

        snprintf(disk, sizeof(disk), "%s/disk", t->path);
        make_empty_disk(disk, WRITER_DISK_BYTES);
        snprintf(word, sizeof(word), "%s%s", disk, extra);
        snprintf(path, sizeof(path), "%s/first", t->path);
        s = make_native_of("writer", path, 3, WORDS("--memory", "128M", "--disk", word));
        snprintf(s.disk, sizeof(s.disk), "%s%s", disk, extra);
        return s;
}

/* The sum of the versions of all sectors: the writes that are on the disk. */
static uint64_t writes_on_disk(const char *disk, uint64_t nonce)
{
        _cleanup_close_ int fd = open(disk, O_RDONLY | O_CLOEXEC);
        uint64_t sum = 0, sector[64];

        cr_assert_geq(fd, 0);
        for (uint64_t i = 0; i < WRITER_DISK_BYTES / 512; i++) {
                cr_assert_eq(fd_pread_full(fd, sector, 512, i * 512), 512);
                if (!sector[0])
                        continue; /* never written */
                cr_assert_eq(sector[0], nonce, "sector %llu: expected nonce %llx, found %llx", (unsigned long long)i,
                             (unsigned long long)nonce, (unsigned long long)sector[0]);
                cr_assert_eq(sector[1], i, "sector %llu holds what belongs into sector %llu", (unsigned long long)i,
                             (unsigned long long)sector[1]);
                sum += sector[2];
        }
        return sum;
}

static void check_chain(const char *extra)
{
        static const char *const modes[] = {"lazy", "mmap", "eager"};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;
        struct beacon_tick last;
        char path[4300], disk[4300];
        uint64_t found;

        need_kvm();
        need_uffd();
        s = boot_writer(&t, extra);
        for (unsigned g = 0; g < 6; g++) {
                snprintf(path, sizeof(path), "%s/generation-%u", t.path, g);
                s = next_generation(&s, path, 5, WORDS("--mode", modes[g % 3]));
        }
        last = assert_wakes(&s, 51, WORDS("--mode", "lazy"));
        snprintf(disk, sizeof(disk), "%s/disk", t.path);
        found = writes_on_disk(disk, last.nonce);
        /* The guest went on for a moment after its last whole line. */
        cr_assert_geq(found, beacon_number(&last, "writes"), "writes are lost");
        cr_assert_leq(found, beacon_number(&last, "writes") + 2 * WRITES_A_TICK, "writes were doubled");
}

Test(disk, what_a_guest_wrote_is_there_once_after_six_generations, .timeout = 120)
{
        check_chain("");
}

Test(disk, what_a_guest_wrote_is_there_once_after_six_generations_with_direct_io, .timeout = 120)
{
        check_chain(",direct=on");
}

static void assert_refused(const struct saved *s, int status, const char *word, const char *value, const char *expected)
{
        struct child c = word ? RUN(20000, rouse_program(), "restore", s->path, "--timeout", "10s", word, value) :
                                RUN(20000, rouse_program(), "restore", s->path, "--timeout", "10s");

        cr_assert_eq(c.status, status, "expected exit %d, found %d: %s", status, c.status, c.err);
        cr_assert(strstr(c.err, expected), "expected '%s' in: %s", expected, c.err);
        cr_assert_eq(c.out_len, 0, "the guest ran: %s", c.out);
        child_free(&c);
}

Test(disk, an_active_disk_without_a_file_is_refused_with_its_slot_size_and_option, .timeout = 60)
{
        struct saved s = use_fixture("stratovirt/microvm-128m-blk");

        need_kvm();
        need_uffd();
        assert_refused(&s, 4, NULL, NULL, "slot 0");
        assert_refused(&s, 4, NULL, NULL, "262144");
        assert_refused(&s, 4, NULL, NULL, "--disk 0=FILE");
}

Test(disk, a_file_of_another_size_than_the_guest_knows_is_refused, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = use_fixture("stratovirt/microvm-128m-blk");
        char path[4200], word[4300];

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/small", t.path);
        snprintf(word, sizeof(word), "0=%s", make_empty_disk(path, 4096));
        assert_refused(&s, 4, "--disk", word, "512 sectors");
}

Test(disk, a_disk_for_a_slot_that_the_guest_knows_as_unused_is_refused, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = use_fixture("stratovirt/microvm-128m");
        char path[4200], word[4300];

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/disk", t.path);
        snprintf(word, sizeof(word), "1=%s", make_disk(path));
        assert_refused(&s, 4, "--disk", word, "slot 1");
}

Test(disk, a_disk_in_a_slot_of_a_network_card_is_refused, .timeout = 60)
{
        struct saved s = use_fixture("stratovirt/microvm-128m");

        need_kvm();
        need_uffd();
        assert_refused(&s, 2, "--disk", "4=/dev/null", "4");
}

Test(disk, the_user_hears_once_of_a_disk_that_fails_under_the_guest, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char disk[4300];
        const char *told;
        struct child c;

        need_kvm();
        snprintf(disk, sizeof(disk), "%s/disk", t.path);
        make_empty_disk(disk, WRITER_DISK_BYTES);
        c = START(rouse_program(), "run", "--kernel", guest_file("writer"), "--memory", "128M", "--disk", disk, "--timeout",
                  "8s");
        cr_assert(child_wait_output(&c, "TICK 2 ", 30000), "%s", c.err);
        cr_assert_eq(truncate(disk, 0), 0);
        child_wait(&c, 30000);
        told = strstr(c.err, "disk in slot 0: ");
        cr_assert(told && strstr(told, "the file ends before that"), "%s", c.err);
        cr_assert_null(strstr(told + 1, "disk in slot 0: "), "told twice: %s", c.err);
        child_free(&c);
}
