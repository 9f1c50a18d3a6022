/* test_hints_file: hints come back as they were written, and only for the snapshot that they were recorded from. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/hints_file.h"
#include "formats/table_file.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define RAM_PAGES 1000

#define ID { "00112233-4455-4677-8899-aabbccddeeff" }
static const struct identity id = ID;

static struct hint three[] = {
        { .page = 999, .seen = 2, .touch_us = 0, .flags = HINT_DIFFERS },
        { .page = 0, .seen = 1, .touch_us = 4000000000, .flags = HINT_WRITTEN | HINT_ZERO },
        { .page = 500, .seen = 2, .touch_us = 7, .phase = HINT_PHASE_LATER, .flags = HINT_FLAGS },
};

static const struct hints hints = { .snapshot = ID, .ram_pages = RAM_PAGES, .recordings = 2, .nr = 3, .v = three };

static void write_hints(const struct tmpdir *t, const struct hints *h)
{
        struct err e = { 0 };

        cr_assert_eq(hints_file_write(t->fd, HINTS_NAME, h, &e), 0, "%s", e.text);
}

static void assert_three(const struct hints *h)
{
        cr_assert(identity_equal(&h->snapshot, &id));
        cr_assert(h->ram_pages == RAM_PAGES && h->recordings == 2 && h->nr == 3);
        for (size_t i = 0; i < 3; i++)
                cr_assert_arr_eq(&h->v[i], &three[i], sizeof(three[i]));
}

static void assert_refused(const struct tmpdir *t, const char *message)
{
        struct hints h = { .nr = 77 };
        struct err   e = { 0 };

        cr_assert_eq(hints_file_read(t->fd, HINTS_NAME, &id, RAM_PAGES, &h, &e), -EBADMSG);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, message), "expected '%s' in '%s'", message, e.text);
        cr_assert_eq(h.nr, 77);
}

Test(hints_file, hints_come_back_in_their_order)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = { 0 };
        struct stat                        st;
        struct err                         e = { 0 };

        write_hints(&t, &hints);
        cr_assert_eq(hints_file_read(t.fd, HINTS_NAME, &id, RAM_PAGES, &h, &e), 0, "%s", e.text);
        assert_three(&h);
        cr_assert_eq(fstatat(t.fd, HINTS_NAME, &st, 0), 0);
        cr_assert_eq(st.st_mode & 07777, 0600);
}

/* As rouse wrote them before it knew times: bytes laid out by hand. */
Test(hints_file, version_1_is_read_as_hints_without_times)
{
        static const struct {
                uint64_t page;
                uint32_t seen, flags;
        } old[] = { { 999, 2, 0 }, { 0, 1, 0 } };
        static const struct table_kind     version_1 = { .magic = "rouse-hi", .version = 1, .entry_bytes = sizeof(old[0]) };
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = { 0 };
        _cleanup_free_ void               *buf = NULL;
        struct table_file f = { .identity = id, .ram_pages = RAM_PAGES, .recordings = 2, .nr_entries = 2,
                                .entries = (void *)(uintptr_t)old };
        struct err   e = { 0 };
        struct hint  expect[] = { { .page = 999, .seen = 2 }, { .page = 0, .seen = 1 } };
        size_t       len;

        cr_assert_eq(table_file_pack(&version_1, &f, &buf, &len, &e), 0);
        tmpdir_write(&t, HINTS_NAME, buf, len);
        cr_assert_eq(hints_file_read(t.fd, HINTS_NAME, &id, RAM_PAGES, &h, &e), 0, "%s", e.text);
        cr_assert(h.nr == 2 && h.recordings == 2);
        cr_assert_arr_eq(h.v, expect, sizeof(expect));
}

Test(hints_file, a_page_of_version_1_past_32_bits_is_refused_and_not_cut)
{
        static const struct {
                uint64_t page;
                uint32_t seen, flags;
        } old[] = { { (1ULL << 32) + 5, 1, 0 } };
        static const struct table_kind version_1 = { .magic = "rouse-hi", .version = 1, .entry_bytes = sizeof(old[0]) };
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_free_ void           *buf = NULL;
        struct table_file f = { .identity = id, .ram_pages = RAM_PAGES, .recordings = 1, .nr_entries = 1,
                                .entries = (void *)(uintptr_t)old };
        size_t            len;

        cr_assert_eq(table_file_pack(&version_1, &f, &buf, &len, NULL), 0);
        tmpdir_write(&t, HINTS_NAME, buf, len);
        assert_refused(&t, "hint 0: expected a RAM page below 1000, found 4294967295");
}

Test(hints_file, a_version_of_the_future_is_refused_by_its_number)
{
        static const struct table_kind version_3 = { .magic = "rouse-hi", .version = 3, .entry_bytes = sizeof(struct hint) };
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_free_ void           *buf = NULL;
        struct table_file f = { .identity = id, .ram_pages = RAM_PAGES, .recordings = 2, .nr_entries = 3, .entries = three };
        size_t            len;

        cr_assert_eq(table_file_pack(&version_3, &f, &buf, &len, NULL), 0);
        tmpdir_write(&t, HINTS_NAME, buf, len);
        assert_refused(&t, "hints: offset 8: expected version 2 with entries of 16 bytes, found version 3");
}

Test(hints_file, whoever_compares_files_reads_them_for_whatever_snapshot_they_are)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = { 0 };
        char                               path[PATH_MAX + 100];
        struct err                         e = { 0 };

        snprintf(path, sizeof(path), "%s/mine", t.path);
        cr_assert_eq(hints_file_write_path(path, &hints, &e), 0, "%s", e.text);
        cr_assert_eq(hints_file_read_any(path, &h, &e), 0, "%s", e.text);
        assert_three(&h);
}

Test(hints_file, no_hint_at_all_comes_back_as_none)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = { 0 };
        struct hints                       none = { .snapshot = id, .ram_pages = RAM_PAGES, .recordings = 1 };

        write_hints(&t, &none);
        cr_assert_eq(hints_file_read(t.fd, HINTS_NAME, &id, RAM_PAGES, &h, NULL), 0);
        cr_assert_eq(h.nr, 0);
}

Test(hints_file, a_path_and_the_data_directory_serve_as_well)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_(hints_free) struct hints a = { 0 }, b = { 0 };
        char                               path[PATH_MAX + 100];
        struct err                         e = { 0 };

        snprintf(path, sizeof(path), "%s/mine", t.path);
        cr_assert_eq(hints_file_write_path(path, &hints, &e), 0, "%s", e.text);
        cr_assert_eq(hints_file_read_path(path, &id, RAM_PAGES, &a, &e), 0, "%s", e.text);
        assert_three(&a);
        cr_assert_eq(hints_file_write_data_dir(t.path, &hints, &e), 0, "%s", e.text);
        snprintf(path, sizeof(path), "%s/hints/%s", t.path, id.s);
        cr_assert_eq(access(path, R_OK), 0);
        cr_assert_eq(hints_file_read_data_dir(t.path, &id, RAM_PAGES, &b, &e), 0, "%s", e.text);
        assert_three(&b);
}

Test(hints_file, where_there_are_none_it_says_so)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct hints                   h;
        struct err                     e = { 0 };

        cr_assert_eq(hints_file_read(t.fd, HINTS_NAME, &id, RAM_PAGES, &h, &e), -ENOENT);
        cr_assert_eq(e.kind, ERR_FAILED);
        cr_assert_eq(hints_file_read_path("/nowhere/hints", &id, RAM_PAGES, &h, &e), -ENOENT);
        cr_assert_str_eq(e.text, "/nowhere/hints: there are no hints");
        cr_assert_eq(hints_file_read_data_dir(t.path, &id, RAM_PAGES, &h, &e), -ENOENT);
}

Test(hints_file, hints_of_another_snapshot_or_size_of_ram_are_refused)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct hints                   other = hints;

        other.snapshot = (struct identity){ "ffffffff-4455-4677-8899-aabbccddeeff" };
        write_hints(&t, &other);
        assert_refused(&t, "hints: offset 16: expected hints for snapshot 00112233-4455-4677-8899-aabbccddeeff, found them for "
                       "ffffffff");
        other = hints;
        other.ram_pages++;
        write_hints(&t, &other);
        assert_refused(&t, "expected hints for 1000 RAM pages, found them for 1001");
}

Test(hints_file, a_page_outside_of_ram_twice_or_never_seen_is_refused)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct hint                    v[3];
        struct hints                   bad = hints;

        bad.v = v;
        memcpy(v, three, sizeof(v));
        v[1].page = 1000;
        write_hints(&t, &bad);
        assert_refused(&t, "hints: hint 1: expected a RAM page below 1000, found 1000");
        v[1].page = 999;
        write_hints(&t, &bad);
        assert_refused(&t, "found page 999 again");
        memcpy(v, three, sizeof(v));
        v[2].seen = 3;
        write_hints(&t, &bad);
        assert_refused(&t, "to be seen in 1 to 2 recordings, found 3");
}

Test(hints_file, a_flipped_bit_anywhere_and_every_cut_are_refused)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_free_ uint8_t        *bytes = NULL;
        _cleanup_close_ int            fd = -1;
        size_t                         len;

        write_hints(&t, &hints);
        fd = openat(t.fd, HINTS_NAME, O_RDWR | O_CLOEXEC);
        cr_assert_eq(fd_read_all(fd, MIB, (void **)&bytes, &len), 0);
        cr_assert_eq(len, sizeof(struct table_header) + 3 * 16);
        for (size_t at = 0; at < len; at++) {
                uint8_t bad = bytes[at] ^ (uint8_t)(1u << at % 8);

                cr_assert_eq(fd_pwrite_full(fd, &bad, 1, at), 0);
                assert_refused(&t, "hints: offset ");
                cr_assert_eq(ftruncate(fd, (off_t)at), 0);
                assert_refused(&t, "hints: offset ");
                cr_assert_eq(fd_pwrite_full(fd, bytes, len, 0), 0);
        }
}

/* The counts of a header are believed only when the file is that long. */
Test(hints_file, a_count_that_would_ask_for_all_memory_is_refused_under_a_right_checksum)
{
        static const uint64_t          counts[] = { 4, UINT64_MAX, UINT64_MAX / 16, 1ULL << 60 };
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_free_ void           *buf = NULL;
        struct table_file              f = { .identity = id, .ram_pages = RAM_PAGES, .recordings = 2, .nr_entries = 3,
                                                   .entries = (uint8_t[3 * 16]){ 0 } };
        struct table_header            h;
        size_t                         len;

        cr_assert_eq(table_file_pack(&table_hints, &f, &buf, &len, NULL), 0);
        for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
                const char *message = counts[i] > RAM_PAGES ? "expected at most 1000 entries, one for each page of RAM"
                                      : "hints: offset ";

                memcpy(&h, buf, sizeof(h));
                h.nr_entries = counts[i];
                h.header_sum = XXH3_64bits(&h, offsetof(struct table_header, header_sum));
                memcpy(buf, &h, sizeof(h));
                tmpdir_write(&t, HINTS_NAME, buf, len);
                assert_refused(&t, message);
        }
}

static int truncate_to(const struct tmpdir *t, uint64_t len)
{
        _cleanup_close_ int fd = openat(t->fd, HINTS_NAME, O_RDWR | O_CLOEXEC);

        return ftruncate(fd, (off_t)len);
}

/* A sparse file of 1 TiB costs nothing, its entries in memory would: that it is somebody else's must be seen before. */
Test(hints_file, another_snapshots_hints_are_refused_before_they_are_read)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct table_header            h = { .version = 1, .entry_bytes = 16, .recordings = 1 };

        memcpy(h.magic, table_hints.magic, sizeof(h.magic));
        memcpy(h.identity, id.s, sizeof(h.identity));
        h.ram_pages = h.nr_entries = (1ULL << 40) / 16;
        h.header_sum = XXH3_64bits(&h, offsetof(struct table_header, header_sum));
        tmpdir_write(&t, HINTS_NAME, &h, sizeof(h));
        if (truncate_to(&t, sizeof(h) + (1ULL << 40)) < 0)
                cr_skip_test("a file system without files of 1 TiB");
        assert_refused(&t, "hints: offset 112: expected hints for 1000 RAM pages, found them for 68719476736");
}
