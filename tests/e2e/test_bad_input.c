/* What is wrong before the guest runs: one line, the right exit status, nothing written, nothing left. */
#include "core/base/cleanup.h"
#include "core/probe.h"
#include "core/session.h"
#include "formats/format.h"
#include "formats/hints_file.h"
#include "formats/page_index.h"
#include "tests/support/fixture.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *fmt, ...)
{
        char command[16000];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(command, sizeof(command), fmt, ap);
        va_end(ap);
        cr_assert_eq(system(command), 0, "%s", command);
}

/* Ends with this status and exactly one line that holds every one of the words; nothing on standard output. */
static void assert_refused(int status, const char *dir, const char *const *words, const char *const *options)
{
        const char *argv[20] = {rouse_program(), "restore", dir, "--timeout", "20s"};
        struct child c;
        size_t n = 5;

        while (*options)
                argv[n++] = *options++;
        c = child_run(30000, argv);
        cr_expect_eq(c.status, status, "%s: expected exit %d, found %d; it said: %s%s", dir, status, c.status, c.out, c.err);
        cr_expect_eq(c.out_len, 0, "standard output: %s", c.out);
        cr_expect(c.err_len > 0 && strchr(c.err, '\n') == c.err + c.err_len - 1, "expected one line, found: %s", c.err);
        for (; *words; words++)
                cr_expect(strstr(c.err, *words), "expected '%s' in: %s", *words, c.err);
        child_free(&c);
}

/* A copy of a StratoVirt fixture that may be changed. */
static const char *copy_fixture(const struct tmpdir *t, char buf[4300])
{
        const char *dir = fixture_dir("stratovirt/microvm-128m");

        snprintf(buf, 4300, "%s/copy", t->path);
        shell("rm -rf %s && mkdir %s && cp --reflink=auto %s/state %s/memory %s/ && chmod u+w %s/*", buf, buf, dir, dir, buf,
              buf);
        return buf;
}

Test(bad_input, a_directory_of_no_known_format_is_refused, .timeout = 30)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        need_kvm();
        need_uffd();
        assert_refused(4, t.path, WORDS(t.path), WORDS(NULL));
        assert_refused(1, "/nonexistent/rouse", WORDS("/nonexistent/rouse"), WORDS(NULL));
}

Test(bad_input, a_cut_or_oversized_file_is_refused_with_its_place, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char dir[4300];

        need_kvm();
        need_uffd();
        shell("truncate -s 100000 %s/state", copy_fixture(&t, dir));
        assert_refused(4, dir, WORDS("state", "offset", "expected", "found"), WORDS(NULL));
        shell("truncate -s -1 %s/memory", copy_fixture(&t, dir));
        assert_refused(4, dir, WORDS("memory", "offset", "expected", "found"), WORDS(NULL));
        shell("truncate -s 5000 %s/memory", copy_fixture(&t, dir));
        assert_refused(4, dir, WORDS("memory", "offset", "expected", "found"), WORDS(NULL));
        shell("truncate -s +4096 %s/memory", copy_fixture(&t, dir));
        assert_refused(4, dir, WORDS("memory", "offset", "expected", "found"), WORDS(NULL));
        shell("truncate -s 0 %s/memory", copy_fixture(&t, dir));
        assert_refused(4, dir, WORDS("memory", "expected", "found"), WORDS(NULL));
}

Test(bad_input, a_link_that_leads_out_of_the_directory_is_refused, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char dir[4300];

        need_kvm();
        need_uffd();
        shell("cd %s && mv memory ../outside && ln -s ../outside memory", copy_fixture(&t, dir));
        assert_refused(4, dir, WORDS("memory"), WORDS(NULL));
}

Test(bad_input, a_directory_may_itself_be_a_link, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = use_fixture("stratovirt/microvm-128m");
        char target[4300];

        need_kvm();
        need_uffd();
        snprintf(target, sizeof(target), "%s", s.path);
        snprintf(s.path, sizeof(s.path), "%.4000s/link", t.path);
        cr_assert_eq(symlink(target, s.path), 0);
        assert_wakes(&s, 3, WORDS("--mode", "lazy"));
}

Test(bad_input, hints_of_another_snapshot_are_refused_when_named, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = use_fixture("stratovirt/microvm-128m");
        char hints[4300], dir[4300];

        need_kvm();
        need_uffd();
        snprintf(hints, sizeof(hints), "%s/hints", t.path);
        assert_wakes(&s, 2, WORDS("--record", hints));
        copy_fixture(&t, dir); /* another mtime: another identity */
        assert_refused(4, dir, WORDS(hints, "expected", "found"), WORDS("--hints", hints));
        shell("printf x | dd of=%s bs=1 seek=60 conv=notrunc 2>/dev/null", hints);
        assert_refused(4, s.path, WORDS(hints, "expected", "found"), WORDS("--hints", hints));
        shell("truncate -s 30 %s", hints);
        assert_refused(4, s.path, WORDS(hints, "expected", "found"), WORDS("--hints", hints));
}

static void expect_exit(int status, const char *says, const char *const *argv)
{
        struct child c = child_run(60000, argv);

        cr_expect_eq(c.status, status, "%s: expected exit %d, found %d; it said: %s", argv[1], status, c.status, c.err);
        cr_expect(strstr(c.err, says), "expected '%s' in: %s", says, c.err);
        cr_expect(!status || strchr(c.err, '\n') == c.err + c.err_len - 1, "expected one line, found: %s", c.err);
        child_free(&c);
}

Test(bad_input, a_ledger_that_could_not_be_written_is_refused_before_the_guest_runs, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300];

        need_kvm();
        snprintf(path, sizeof(path), "%s/none/ledger", t.path);
        expect_exit(1, "none/ledger: expected a place for a file, found none: No such file or directory",
                    WORDS(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--until", "TICK 1 ", "--ledger", path));
        snprintf(path, sizeof(path), "%s/ledger", t.path);
        expect_exit(0, "", WORDS(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--until", "TICK 1 ", "--ledger", path));
        cr_expect_eq(access(path, F_OK), 0);
}

/* An index that says that all is zero, and is right in all else. */
static void write_wrong_index(const char *dir)
{
        struct snapshot_open_options o = {0};
        struct page_map wrong;
        struct snapshot s;
        struct err e = {0};

        cr_assert_eq(snapshot_open(dir, &o, &s, &e), 0, "%s", e.text);
        page_map_init(&wrong, s.pages.nr_pages);
        cr_assert_eq(page_map_append(&wrong, &(struct page_run){.nr_pages = (uint32_t)s.pages.nr_pages, .kind = RUN_ZERO}), 0);
        wrong.sources = s.pages.sources;
        wrong.nr_sources = s.pages.nr_sources;
        cr_assert_eq(page_index_write(s.dir_fd, PAGE_INDEX_NAME, &s.identity, &wrong, &e), 0, "%s", e.text);
        free(wrong.runs);
        snapshot_close(&s);
}

Test(bad_input, a_page_index_that_is_damaged_or_wrong_is_found_by_verify_and_made_anew, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char dir[4300];

        copy_fixture(&t, dir);
        shell("rm -f %s/rouse-pages", dir);
        expect_exit(0, "", WORDS(rouse_program(), "inspect", "--index", dir));
        shell("printf '\\377' | dd of=%s/rouse-pages bs=1 seek=200 conv=notrunc 2>/dev/null", dir);
        expect_exit(4, "rouse-pages: offset 168", WORDS(rouse_program(), "verify", dir));
        expect_exit(0, "", WORDS(rouse_program(), "inspect", "--index", dir));
        expect_exit(0, "", WORDS(rouse_program(), "verify", dir));
        write_wrong_index(dir);
        expect_exit(4, "expected zeros, as the page index says", WORDS(rouse_program(), "verify", dir));
        expect_exit(0, "", WORDS(rouse_program(), "inspect", "--index", dir));
        expect_exit(0, "", WORDS(rouse_program(), "verify", dir));
        shell("touch %s/memory", dir);
        expect_exit(0, "page index is not used: rouse-pages: it was made for another state", WORDS(rouse_program(), "verify", dir));
}

Test(bad_input, a_native_snapshot_with_a_flipped_byte_is_found_by_restore_or_verify, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300], copy[4300];
        struct child c;

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/native", t.path);
        snprintf(copy, sizeof(copy), "%s/copy", t.path);
        make_native(path, "128M", "1");
        c = RUN(30000, rouse_program(), "verify", path);
        cr_expect_eq(c.status, 0, "%s", c.err);
        child_free(&c);

        shell("cp -r --sparse=always %s %s && printf '\\377' | dd of=%s/state bs=1 seek=2000 conv=notrunc 2>/dev/null", path,
              copy, copy);
        assert_refused(4, copy, WORDS("state", "offset", "expected", "found"), WORDS(NULL));
        shell("rm -rf %s && cp -r --sparse=always %s %s && printf '\\377' | dd of=%s/pages bs=1 seek=100 conv=notrunc 2>/dev/null", copy, path, copy, copy);
        assert_refused(4, copy, WORDS("pages", "offset", "expected", "found"), WORDS(NULL));
        shell("rm -rf %s && cp -r --sparse=always %s %s && printf '\\377' | dd of=%s/memory bs=1 seek=33554500 conv=notrunc 2>/dev/null", copy, path, copy, copy);
        c = RUN(30000, rouse_program(), "verify", copy);
        cr_expect_eq(c.status, 4, "exit %d: %s", c.status, c.err);
        cr_expect(strstr(c.err, "memory") && strstr(c.err, "offset") && strstr(c.err, "expected") &&
                  strstr(c.err, "found"), "%s", c.err);
        child_free(&c);
        assert_refused(4, copy, WORDS("memory", "offset", "expected", "found"), WORDS("--mode", "eager"));
        shell("rm -rf %s && cp -r --sparse=always %s %s && truncate -s 1M %s/memory", copy, path, copy, copy);
        assert_refused(4, copy, WORDS("memory", "expected", "found"), WORDS(NULL));
}

/* --- a bad page in a range that is read ahead --- */

#define RANGE (HUGE_PAGE_BYTES / PAGE_BYTES)

/* Data in all 512 pages, and one of them that no hint names, *ret_page. */
static bool is_whole_range(const struct page_map *m, const uint8_t *hinted, uint64_t first, uint64_t *ret_page)
{
        bool found = false;

        for (uint64_t page = first; page < first + RANGE; page++) {
                if (page_map_find(m, page)->kind != RUN_RAW)
                        return false;
                if (!hinted[page])
                        *ret_page = page;
                found |= !hinted[page];
        }
        return found;
}

/* Makes the hints at path dense: all of a range of data, but for a page that the guest does not touch: its number. */
static uint64_t make_dense(const char *dir, const char *path)
{
        struct snapshot_open_options o = {0};
        struct hints h;
        struct snapshot s;
        uint64_t first = 0, page = 0;
        uint8_t *hinted;
        struct err e = {0};

        cr_assert_eq(snapshot_open(dir, &o, &s, &e), 0, "%s", e.text);
        cr_assert_eq(hints_file_read_path(path, &s.identity, s.pages.nr_pages, &h, &e), 0, "%s", e.text);
        hinted = calloc(s.pages.nr_pages, 1);
        for (size_t i = 0; i < h.nr; i++)
                hinted[h.v[i].page] = 1;
        while (first < s.pages.nr_pages && !is_whole_range(&s.pages, hinted, first, &page))
                first += RANGE;
        cr_assert_lt(first, s.pages.nr_pages, "the guest's data fill some ranges, of which it touches a part");
        h.v = reallocarray(h.v, h.nr + RANGE, sizeof(*h.v));
        for (uint64_t k = first; k < first + RANGE; k++) {
                if (hinted[k] || k == page)
                        continue;
                memmove(h.v + 1, h.v, h.nr++ * sizeof(*h.v)); /* to the first phase */
                h.v[0] = (struct hint){.page = (uint32_t)k, .seen = 1, .phase = HINT_PHASE_T3};
        }
        for (size_t i = 0; i < h.nr; i++)
                h.v[i].phase = HINT_PHASE_T3;
        cr_assert_eq(hints_file_write_path(path, &h, &e), 0, "%s", e.text);
        free(hinted);
        hints_free(&h);
        snapshot_close(&s);
        return page;
}

Test(bad_input, a_bad_page_in_a_range_that_is_read_ahead_is_lost_alone_and_the_guest_goes_on, .timeout = 180)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300], hints[4300], says[200], until[64];
        struct saved s;
        struct child c;
        uint64_t page;

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/native", t.path);
        snprintf(hints, sizeof(hints), "%s/hints", t.path);
        s = make_native(path, "128M", "1");
        assert_wakes(&s, 3, WORDS("--record", hints));
        page = make_dense(path, hints);
        c = RUN(30000, rouse_program(), "inspect", "--plan", "--hints", hints, path);
        if (!strstr(c.out, "prefill "))
                cr_skip_test("no huge pages for this process");
        child_free(&c);
        shell("printf '\\125\\252' | dd of=%s/memory bs=1 seek=%llu conv=notrunc 2>/dev/null", path, (unsigned long long)pages_to_bytes(page) + 77);
        snprintf(says, sizeof(says), "memory: offset %llu: RAM page %llu: expected checksum",
                 (unsigned long long)pages_to_bytes(page), (unsigned long long)page);
        c = RUN(60000, rouse_program(), "restore", path, "--hints", hints, "--fill", "off", "--timeout", "50s", "--until", tick_pattern(until, &s, 2));
        cr_expect_eq(c.status, 0, "exit %d: %s", c.status, c.err);
        cr_expect(strstr(c.err, "no huge pages are read ahead, pages come one by one: ") && strstr(c.err, says), "expected '%s' in: %s", says, c.err);
        assert_joins(&s, c.out, 3);
        child_free(&c);
        assert_refused(4, path, WORDS("memory", "offset", "expected", "found"), WORDS("--mode", "eager"));
}

Test(bad_input, a_ledger_that_has_no_end_is_none, .timeout = 60)
{
        expect_exit(1, "/dev/zero: expected a ledger (JSON, written by --ledger FILE), found more than 1 MiB", WORDS(rouse_program(), "ledger", "/dev/zero"));
        expect_exit(1, "/nonexistent/x: expected a ledger (JSON, written by --ledger FILE), found No such file", WORDS(rouse_program(), "ledger", "/nonexistent/x"));
}

Test(bad_input, wrong_words_exit_2, .timeout = 30)
{
        static const char *const words[][4] = {
                {"restore"}, {"restore", "a", "b"}, {"restore", "--mode", "x", "d"}, {"restore", "--nonsense"}, {"run"}, {"nonsense"},
                {"snapshot", "x"}, {"restore", "--timeout", "soon", "d"}, {"run", "--kernel"}, {"inspect"}, {"verify"}, {"ledger"},
                {"run", "--kernel", "k", "--memory=1"},
        };

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                struct child c = RUN(5000, rouse_program(), words[i][0], words[i][1], words[i][2], words[i][3]);

                cr_expect_eq(c.status, 2, "rouse %s %s %s: exit %d", words[i][0], words[i][1] ? words[i][1] : "",
                             words[i][2] ? words[i][2] : "", c.status);
                child_free(&c);
        }
}

/* Masked, as this host has both. */
static void assert_host_refused(const struct host_caps *caps, const char *lack, const char *mend)
{
        struct restore_options o = {.common = {.serial_out_fd = -1, .caps = caps}, .path = fixture_dir("stratovirt/microvm-128m"), .mode = RESTORE_LAZY,
                                    .hints = HINTS_NONE};
        struct session *s = NULL;
        struct err e = {0};

        cr_assert_lt(session_restore(&o, &s, &e), 0);
        cr_expect_eq(e.kind, ERR_HOST, "so that the exit status is 1");
        cr_expect(strstr(e.text, lack) && strstr(e.text, mend), "%s", e.text);
}

Test(bad_input, a_host_without_kvm_or_userfaultfd_is_refused_with_the_command_that_mends_it, .timeout = 30)
{
        struct host_caps caps;

        host_probe(&caps);
        caps.kvm_errno = ENOENT;
        assert_host_refused(&caps, "/dev/kvm", "modprobe");
        caps.kvm_errno = EACCES;
        assert_host_refused(&caps, "/dev/kvm", "usermod -aG kvm");
        host_probe(&caps);
        caps.uffd_way = UFFD_WAY_NONE;
        caps.uffd_errno = EPERM;
        assert_host_refused(&caps, "userfaultfd", "setfacl");
        caps.uffd_errno = ENOSYS;
        assert_host_refused(&caps, "userfaultfd", "--mode mmap");
}
