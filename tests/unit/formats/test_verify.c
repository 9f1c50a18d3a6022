/* test_verify: every page is read; what cannot be read or does not match is counted, and the first one is named. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/verify.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#define NR_PAGES 600 /* two chunks and a part */

/* A snapshot that is only its page map: pages 100 to 699 of RAM are a file, those before are zero. */
static struct snapshot make(const struct tmpdir *t, bool with_sums)
{
        struct snapshot s = { 0 };
        struct page_run zero = { .nr_pages = 100, .kind = RUN_ZERO }, raw = { .first_page = 100, .nr_pages = NR_PAGES,
        .kind = RUN_RAW };
        uint8_t         page[PAGE_BYTES] = { 0 };
        int             fd = openat(t->fd, "memory", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        page_map_init(&s.pages, 100 + NR_PAGES);
        cr_assert_eq(page_map_add_source(&s.pages, fd, NR_PAGES * PAGE_BYTES, "memory"), 0);
        cr_assert_eq(page_map_append(&s.pages, &zero), 0);
        cr_assert_eq(page_map_append(&s.pages, &raw), 0);
        if (with_sums) {
                s.pages.sums = calloc(NR_PAGES, sizeof(uint64_t));
                s.pages.nr_sums = NR_PAGES;
        }
        for (uint64_t i = 0; i < NR_PAGES; i++) {
                page[i] = 1;
                cr_assert_eq(fd_pwrite_full(fd, page, sizeof(page), i * PAGE_BYTES), 0);
                if (with_sums)
                        s.pages.sums[i] = XXH3_64bits(page, sizeof(page));
        }
        return s;
}

struct told {
        int      times;
        uint64_t done, all;
};

static void tell(void *arg, uint64_t done_bytes, uint64_t all_bytes)
{
        struct told *t = arg;

        cr_assert_geq(done_bytes, t->done);
        *t = (struct told){ t->times + 1, done_bytes, all_bytes };
}

Test(verify, a_sound_snapshot_is_read_to_its_end_and_progress_ends_at_all)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot                s = make(&t, true);
        struct verify_report           r;
        struct told                    told = { 0 };
        struct err                     e = { 0 };

        cr_assert_eq(snapshot_verify(&s, tell, &told, &r, &e), 0, "%s", e.text);
        cr_assert(r.data_pages == NR_PAGES && r.zero_pages == 100 && r.checked_pages == NR_PAGES && r.bad_pages == 0);
        cr_assert(told.times >= 1 && told.done == NR_PAGES * PAGE_BYTES && told.all == told.done);
        snapshot_close(&s);
}

Test(verify, without_checksums_every_page_is_read_and_none_is_checked)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot                s = make(&t, false);
        struct verify_report           r;

        cr_assert_eq(snapshot_verify(&s, NULL, NULL, &r, NULL), 0);
        cr_assert(r.data_pages == NR_PAGES && r.checked_pages == 0);
        snapshot_close(&s);
}

Test(verify, bad_pages_are_counted_and_the_first_one_is_named)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot                s = make(&t, true);
        struct verify_report           r;
        struct err                     e = { 0 };

        s.pages.sums[300]++;
        s.pages.sums[599]++;
        cr_assert_eq(snapshot_verify(&s, NULL, NULL, &r, &e), -EBADMSG);
        cr_assert(r.bad_pages == 2 && r.first_bad_page == 400 && r.checked_pages == NR_PAGES);
        cr_assert_eq(strncmp(e.text, "memory: offset 1228800: RAM page 400: expected checksum ", 55), 0, "%s", e.text);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        snapshot_close(&s);
}

Test(verify, pages_after_the_end_of_a_file_that_shrank_are_bad)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot                s = make(&t, false);
        struct verify_report           r;
        struct err                     e = { 0 };

        cr_assert_eq(ftruncate(s.pages.sources[0].fd, 590 * PAGE_BYTES + 1), 0);
        cr_assert_eq(snapshot_verify(&s, NULL, NULL, &r, &e), -EBADMSG);
        cr_assert(r.bad_pages == 10 && r.first_bad_page == 690);
        cr_assert_not_null(strstr(e.text, "RAM page 690: expected 4096 bytes, found the file's end"), "%s", e.text);
        snapshot_close(&s);
}

/* As if its file had been cut between open and here: the sums of the last pages are past its end, where a mapping would be
 * SIGBUS. */
Test(verify, checksums_that_are_cut_off_meanwhile_are_an_error_that_names_their_file)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot                s = make(&t, true);
        struct sums_file               f = { .mapping_bytes = align_up(NR_PAGES * sizeof(uint64_t), PAGE_BYTES), .fd = openat(t.fd, "pages", O_RDWR | O_CREAT | O_CLOEXEC, 0600) };
        struct verify_report           r;
        struct err                     e = { 0 };

        cr_assert_eq(fd_pwrite_full(f.fd, s.pages.sums, NR_PAGES * sizeof(uint64_t), 0), 0);
        f.mapping = mmap(NULL, f.mapping_bytes, PROT_READ, MAP_SHARED, f.fd, 0);
        cr_assert_neq(f.mapping, MAP_FAILED);
        free(s.pages.sums);
        s.pages.sums = f.mapping;
        s.pages.sums_file = f;
        cr_assert_eq(snapshot_verify(&s, NULL, NULL, &r, &e), 0, "%s", e.text);
        cr_assert_eq(ftruncate(f.fd, 100 * sizeof(uint64_t)), 0);
        cr_assert_eq(snapshot_verify(&s, NULL, NULL, &r, &e), -EBADMSG);
        cr_assert_eq(r.bad_pages, NR_PAGES - 100);
        cr_assert_eq(r.first_bad_page, 200);
        cr_assert(strstr(e.text, "pages: offset 800") && strstr(e.text, "cut meanwhile"), "%s", e.text);
        cr_assert_eq(page_map_own_sums(&s.pages), -EBADMSG, "nor are they copied");
        snapshot_close(&s);
}
