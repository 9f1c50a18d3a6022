/* test_page_index: zero pages are found once and kept, and an index that is not this snapshot's is never used. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/format.h"
#include "formats/page_index.h"
#include "formats/table_file.h"
#include "formats/verify.h"
#include "tests/support/sv_snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAM         (16 * MIB)
#define RAM_PAGES   (RAM / PAGE_BYTES)
#define _cleanup_snapshot_ _cleanup_(snapshot_close)
#define _cleanup_map_      _cleanup_(page_map_free)

/* 16 MiB with data in pages 5, 6, 7, 255, 256 (two chunks of the search) and the last one. */
static const uint64_t data_pages[] = { 5, 6, 7, 255, 256, RAM_PAGES - 1 };

static void write_snapshot(const struct tmpdir *t)
{
        struct sv_bytes     state = sv_load("stratovirt/microvm-128m", "state");
        _cleanup_close_ int fd = -1;

        tmpdir_write(t, "state", state.p, state.len);
        sv_write_memory(t, RAM, NULL, NULL);
        fd = openat(t->fd, "memory", O_RDWR | O_CLOEXEC);
        for (size_t i = 0; i < ARRAY_LEN(data_pages); i++)
                cr_assert_eq(fd_pwrite_full(fd, "x", 1, 8192 + data_pages[i] * PAGE_BYTES + (i & 1 ? 4095 : 0)), 0);
        sv_bytes_free(&state);
}

static struct snapshot open_at(const struct tmpdir *t, const char *data_dir)
{
        struct snapshot_open_options o = { .data_dir = data_dir };
        struct snapshot              s;
        struct err                   e = { 0 };

        cr_assert_eq(snapshot_open(t->path, &o, &s, &e), 0, "%s", e.text);
        return s;
}

static struct page_map build(const struct snapshot *s)
{
        struct page_map m;
        struct err      e = { 0 };

        cr_assert_eq(page_index_build(&s->pages, NULL, &m, &e), 0, "%s", e.text);
        return m;
}

static bool is_data(uint64_t page)
{
        for (size_t i = 0; i < ARRAY_LEN(data_pages); i++)
                if (data_pages[i] == page)
                        return true;
        return false;
}

static void assert_right(const struct page_map *m)
{
        cr_assert(m->zeros_known);
        cr_assert_eq(m->nr_pages, RAM_PAGES);
        for (uint64_t p = 0; p < RAM_PAGES; p++) {
                const struct page_run *run = page_map_find(m, p);

                cr_assert_eq(run->kind == RUN_RAW, is_data(p), "page %d", (int)p);
                if (run->kind == RUN_RAW)
                        cr_assert_eq(run->file_offset_bytes + (p - run->first_page) * PAGE_BYTES, 8192 + p * PAGE_BYTES);
        }
}

Test(page_index, every_zero_page_is_found_and_every_other_keeps_its_place)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_map_ struct page_map      m = { 0 };

        write_snapshot(&t);
        s = open_at(&t, NULL);
        m = build(&s);
        assert_right(&m);
        cr_assert_eq(m.nr_runs, 6);
        cr_assert_neq(m.sources[0].fd, s.pages.sources[0].fd);
}

Test(page_index, an_index_beside_the_snapshot_is_used)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 }, again = { 0 };
        _cleanup_map_ struct page_map      m = { 0 };
        struct err                         e = { 0 };
        size_t                             notes;

        write_snapshot(&t);
        s = open_at(&t, NULL);
        notes = s.nr_notes;
        m = build(&s);
        cr_assert_eq(page_index_write(s.dir_fd, PAGE_INDEX_NAME, &s.identity, &m, &e), 0, "%s", e.text);
        again = open_at(&t, NULL);
        assert_right(&again.pages);
        cr_assert(page_map_equal(&again.pages, &m));
        cr_assert_eq(again.nr_notes, notes);
}

Test(page_index, whoever_may_read_the_memory_may_read_the_index_beside_it)
{
        static const mode_t                modes[] = { 0600, 0640, 0444, 0755, 06664 };
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_map_ struct page_map      m = { 0 };
        struct stat                        st;
        struct err                         e = { 0 };

        write_snapshot(&t);
        s = open_at(&t, NULL);
        m = build(&s);
        umask(0);
        for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
                cr_assert_eq(fchmodat(t.fd, "memory", modes[i], 0), 0);
                cr_assert_eq(page_index_write(s.dir_fd, PAGE_INDEX_NAME, &s.identity, &m, &e), 0, "%s", e.text);
                cr_assert_eq(fstatat(t.fd, PAGE_INDEX_NAME, &st, 0), 0);
                cr_assert_eq(st.st_mode & 07777, modes[i] & 0666);
        }
}

Test(page_index, pages_that_a_wrong_index_calls_zero_do_not_verify)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 }, again = { 0 };
        _cleanup_map_ struct page_map      m = { 0 };
        struct verify_report               report;
        struct err                         e = { 0 };

        write_snapshot(&t);
        s = open_at(&t, NULL);
        m = build(&s);
        cr_assert_eq(page_index_write(s.dir_fd, PAGE_INDEX_NAME, &s.identity, &m, &e), 0, "%s", e.text);
        again = open_at(&t, NULL);
        cr_assert_eq(snapshot_verify(&again, NULL, NULL, &report, &e), 0, "%s", e.text);
        cr_assert(report.data_pages == ARRAY_LEN(data_pages) && report.zero_pages == RAM_PAGES - ARRAY_LEN(data_pages));
        snapshot_close(&again);

        m.runs[1] = (struct page_run){ .first_page = 5, .nr_pages = 3, .kind = RUN_ZERO };
        cr_assert_eq(page_index_write(s.dir_fd, PAGE_INDEX_NAME, &s.identity, &m, &e), 0, "%s", e.text);
        again = open_at(&t, NULL);
        cr_assert(again.pages.zeros_known);
        cr_assert_eq(snapshot_verify(&again, NULL, NULL, &report, &e), -EBADMSG);
        cr_assert(report.bad_pages == 3 && report.first_bad_page == 5);
        cr_assert_str_eq(e.text, "memory: offset 28672: RAM page 5: expected zeros, as the page index says, found other bytes; the "
                         "index is wrong, `rouse inspect --index` makes a new one");
}

static int verify_it(const struct tmpdir *t, const char *data_dir, struct err *e)
{
        _cleanup_snapshot_ struct snapshot s = open_at(t, data_dir);
        struct verify_report               report;

        return snapshot_verify(&s, NULL, NULL, &report, e);
}

static void flip_byte(int dir_fd, const char *name, uint64_t at)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC);
        uint8_t             byte;

        cr_assert_eq(fd_pread_full(fd, &byte, 1, at), 1);
        byte ^= 4;
        cr_assert_eq(fd_pwrite_full(fd, &byte, 1, at), 0);
}

Test(page_index, a_damaged_one_beside_the_snapshot_does_not_verify_and_a_stale_one_does)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_map_ struct page_map      m = { 0 };
        struct err                         e = { 0 };

        write_snapshot(&t);
        s = open_at(&t, NULL);
        m = build(&s);
        cr_assert_eq(page_index_write(t.fd, PAGE_INDEX_NAME, &s.identity, &m, &e), 0);
        cr_assert_eq(verify_it(&t, NULL, &e), 0, "%s", e.text);
        flip_byte(t.fd, PAGE_INDEX_NAME, sizeof(struct table_header) + 3);
        cr_assert_eq(verify_it(&t, NULL, &e), -EBADMSG);
        cr_assert(e.kind == ERR_SNAPSHOT && strncmp(e.text, "rouse-pages: offset 168: 240 bytes of entries: expected checksum", 64) == 0, "%s", e.text);
        flip_byte(t.fd, PAGE_INDEX_NAME, sizeof(struct table_header) + 3);
        cr_assert_eq(ftruncate(openat(t.fd, PAGE_INDEX_NAME, O_RDWR), 0), 0);
        cr_assert_eq(verify_it(&t, NULL, &e), -EBADMSG);

        cr_assert_eq(page_index_write(t.fd, PAGE_INDEX_NAME, &s.identity, &m, &e), 0);
        cr_assert_eq(utimensat(t.fd, "memory", (struct timespec[]){ { 5, 0 }, { 5, 0 } }, 0), 0);
        cr_assert_eq(verify_it(&t, NULL, &e), 0, "%s", e.text);
}

Test(page_index, a_damaged_one_that_is_kept_by_identity_is_no_part_of_the_snapshot_and_noted)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new(), data = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 }, again = { 0 };
        _cleanup_map_ struct page_map      m = { 0 };
        char                               path[PATH_MAX + 200];
        struct err                         e = { 0 };

        write_snapshot(&t);
        s = open_at(&t, NULL);
        m = build(&s);
        cr_assert_eq(page_index_write_data_dir(data.path, &s.identity, &m, &e), 0, "%s", e.text);
        snprintf(path, sizeof(path), "%s/index/%s", data.path, s.identity.s);
        flip_byte(AT_FDCWD, path, 8);
        cr_assert_eq(verify_it(&t, data.path, &e), 0, "%s", e.text);
        again = open_at(&t, data.path);
        cr_assert(again.index.code == -EBADMSG && !again.index_beside && !again.pages.zeros_known);
        cr_assert(strstr(again.notes[again.nr_notes - 1], path) && strstr(again.notes[again.nr_notes - 1], "make it again"), "%s", again.notes[again.nr_notes - 1]);
}

Test(page_index, an_index_in_the_data_directory_is_found_by_identity)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new(), data = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 }, again = { 0 };
        _cleanup_map_ struct page_map      m = { 0 };
        char                               dir[PATH_MAX + 16], path[PATH_MAX + 200];
        struct stat                        st;
        struct err                         e = { 0 };

        write_snapshot(&t);
        snprintf(dir, sizeof(dir), "%s/a/rouse", data.path);
        s = open_at(&t, dir);
        m = build(&s);
        cr_assert_eq(page_index_write_data_dir(dir, &s.identity, &m, &e), 0, "%s", e.text);
        snprintf(path, sizeof(path), "%s/index/%s", dir, s.identity.s);
        cr_assert_eq(stat(path, &st), 0);
        cr_assert_eq(st.st_mode & 07777, 0600);
        again = open_at(&t, dir);
        assert_right(&again.pages);
}

Test(page_index, an_identity_that_leads_elsewhere_is_refused)
{
        struct identity               id = { "../../etc/passwd" };
        _cleanup_map_ struct page_map m = { 0 };
        struct err                    e = { 0 };

        cr_assert_eq(page_index_write_data_dir("/nowhere", &id, &m, &e), -EINVAL);
        cr_assert_eq(page_index_read_data_dir("/nowhere", &id, &m, &e), -EINVAL);
}

static void assert_note(const struct tmpdir *t, const char *message)
{
        _cleanup_snapshot_ struct snapshot s = open_at(t, NULL);

        cr_assert(!s.pages.zeros_known);
        cr_assert_eq(s.pages.nr_runs, 1);
        cr_assert_not_null(strstr(s.notes[s.nr_notes - 1], message), "expected '%s' in '%s'", message, s.notes[s.nr_notes - 1]);
}

Test(page_index, a_stale_index_is_not_used_and_noted)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_map_ struct page_map      m = { 0 };
        struct identity                    other = { "0123456789abcdef-1-2" };
        struct err                         e = { 0 };

        write_snapshot(&t);
        s = open_at(&t, NULL);
        m = build(&s);
        cr_assert_eq(page_index_write(t.fd, PAGE_INDEX_NAME, &other, &m, &e), 0);
        cr_assert_eq(page_index_read(t.fd, PAGE_INDEX_NAME, &s.identity, &s.pages, &e), -ESTALE);
        assert_note(&t, "page index is not used: rouse-pages: it was made for another state of this snapshot");

        cr_assert_eq(page_index_write(t.fd, PAGE_INDEX_NAME, &s.identity, &m, &e), 0);
        cr_assert_eq(utimensat(t.fd, "memory", (struct timespec[]){ { 5, 0 }, { 5, 0 } }, 0), 0);
        assert_note(&t, "it was made for another state of this snapshot");
}

Test(page_index, an_index_whose_runs_lie_elsewhere_or_are_too_few_is_not_used)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_map_ struct page_map      m = { 0 };
        struct err                         e = { 0 };

        write_snapshot(&t);
        s = open_at(&t, NULL);
        m = build(&s);
        m.runs[1].file_offset_bytes += PAGE_BYTES;
        cr_assert_eq(page_index_write(t.fd, PAGE_INDEX_NAME, &s.identity, &m, &e), 0);
        assert_note(&t, "rouse-pages: offset 208: run 1: expected RAM page 5 where the snapshot has it, found it elsewhere");
        m.runs[1].file_offset_bytes -= PAGE_BYTES;
        m.nr_runs--;
        cr_assert_eq(page_index_write(t.fd, PAGE_INDEX_NAME, &s.identity, &m, &e), 0);
        assert_note(&t, "expected runs for 4096 pages, found them for 4095");
        m.nr_runs++;
        m.nr_pages++;
        cr_assert_eq(page_index_write(t.fd, PAGE_INDEX_NAME, &s.identity, &m, &e), 0);
        assert_note(&t, "rouse-pages: offset 112: expected 4096 pages of RAM, found 4097");
}

Test(page_index, a_damaged_index_is_not_used_whatever_bit_it_is, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_map_ struct page_map      m = { 0 };
        _cleanup_close_ int                fd = -1;
        _cleanup_free_ uint8_t            *bytes = NULL;
        struct err                         e = { 0 };
        size_t                             len;

        write_snapshot(&t);
        s = open_at(&t, NULL);
        m = build(&s);
        cr_assert_eq(page_index_write(t.fd, PAGE_INDEX_NAME, &s.identity, &m, &e), 0);
        fd = openat(t.fd, PAGE_INDEX_NAME, O_RDWR | O_CLOEXEC);
        cr_assert_eq(fd_read_all(fd, MIB, (void **)&bytes, &len), 0);
        for (size_t at = 0; at < len; at++) {
                uint8_t bad = bytes[at] ^ (uint8_t)(1u << at % 8);

                cr_assert_eq(fd_pwrite_full(fd, &bad, 1, at), 0);
                cr_assert_eq(page_index_read(t.fd, PAGE_INDEX_NAME, &s.identity, &s.pages, &e), -EBADMSG);
                cr_assert_eq(fd_pwrite_full(fd, bytes + at, 1, at), 0);
        }
        for (size_t at = 0; at < len; at += 3) {
                cr_assert_eq(ftruncate(fd, (off_t)at), 0);
                cr_assert_eq(page_index_read(t.fd, PAGE_INDEX_NAME, &s.identity, &s.pages, &e), -EBADMSG);
                cr_assert_eq(fd_pwrite_full(fd, bytes, len, 0), 0);
        }
        cr_assert(!s.pages.zeros_known);
        cr_assert_eq(page_index_read(t.fd, PAGE_INDEX_NAME, &s.identity, &s.pages, &e), 1, "%s", e.text);
        assert_right(&s.pages);
}

Test(page_index, a_link_that_leads_out_of_the_snapshot_or_nowhere_is_noted)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        write_snapshot(&t);
        cr_assert_eq(symlinkat("/etc/passwd", t.fd, PAGE_INDEX_NAME), 0);
        assert_note(&t, "rouse-pages: expected a file inside the snapshot's directory");
        cr_assert(unlinkat(t.fd, PAGE_INDEX_NAME, 0) == 0 && symlinkat("nothing", t.fd, PAGE_INDEX_NAME) == 0);
        assert_note(&t, "rouse-pages: expected a regular file, found a link that leads nowhere");
}

Test(page_index, no_index_is_no_note)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };

        write_snapshot(&t);
        s = open_at(&t, "/nowhere");
        for (size_t i = 0; i < s.nr_notes; i++)
                cr_assert_null(strstr(s.notes[i], "index"));
        cr_assert_eq(page_index_read(t.fd, PAGE_INDEX_NAME, &s.identity, &s.pages, &e), 0);
}

Test(page_index, looking_for_zero_pages_stops_when_it_is_told_to)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct page_map                    m = { .nr_runs = 7 };
        atomic_bool                        stop = true;
        struct err                         e = { 0 };

        write_snapshot(&t);
        s = open_at(&t, NULL);
        cr_assert_eq(page_index_build(&s.pages, &stop, &m, &e), -ECANCELED);
        cr_assert_eq(m.nr_runs, 7);
}

Test(page_index, a_memory_file_that_shrank_is_refused)
{
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct page_map                    m;
        struct err                         e = { 0 };

        write_snapshot(&t);
        s = open_at(&t, NULL);
        cr_assert_eq(ftruncate(openat(t.fd, "memory", O_RDWR), 8192 + 5 * MIB + 100), 0);
        cr_assert_eq(page_index_build(&s.pages, NULL, &m, &e), -EBADMSG);
        cr_assert_eq(strncmp(e.text, "memory: offset 5251172: expected 16789504 bytes in all, found the file's end", 76), 0,
                     "%s", e.text);
}
