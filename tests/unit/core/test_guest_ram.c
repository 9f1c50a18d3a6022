/* core/guest_ram: what stands behind guest RAM. */
#include "core/guest_ram.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#define PAGES 64u

/* Pages 8..23 raw, the rest zero. */
static void make_map(struct page_map *m, const struct tmpdir *t, size_t file_pages)
{
        uint8_t *bytes = malloc(file_pages * PAGE_BYTES + 1);
        struct page_run runs[] = {{.nr_pages = 8}, {.first_page = 8, .nr_pages = 16, .kind = RUN_RAW},
                                  {.first_page = 24, .nr_pages = PAGES - 24}};

        for (size_t i = 0; i < file_pages * PAGE_BYTES; i++)
                bytes[i] = (uint8_t)(i / PAGE_BYTES * 7 + i);
        tmpdir_write(t, "memory", bytes, file_pages * PAGE_BYTES);
        page_map_init(m, PAGES);
        cr_assert_eq(page_map_add_source(m, openat(t->fd, "memory", O_RDONLY), 16 * PAGE_BYTES, "memory"), 0);
        for (size_t i = 0; i < 3; i++)
                cr_assert_eq(page_map_append(m, &runs[i]), 0);
        m->sums = calloc(16, sizeof(uint64_t));
        m->nr_sums = 16;
        for (size_t i = 0; i < MIN(16, file_pages); i++)
                m->sums[i] = XXH3_64bits(bytes + i * PAGE_BYTES, PAGE_BYTES);
        free(bytes);
}

static void assert_content(const struct guest_ram *r)
{
        for (size_t p = 0; p < PAGES; p++)
                for (size_t i = 0; i < PAGE_BYTES; i += 511) {
                        uint8_t expected = p < 8 || p >= 24 ? 0 : (uint8_t)((p - 8) * 7 + (p - 8) * PAGE_BYTES + i);

                        cr_assert_eq(r->base[p * PAGE_BYTES + i], expected, "page %zu byte %zu", p, i);
                }
}

Test(guest_ram, eager_reading_gives_data_where_data_is_and_zeros_elsewhere)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct guest_ram r;
        struct page_map m;
        struct err e = {0};
        uint64_t bytes;

        make_map(&m, &t, 16);
        cr_assert_eq(guest_ram_map(PAGES * PAGE_BYTES, true, &r, &e), 0);
        cr_assert_eq((uintptr_t)r.base % HUGE_PAGE_BYTES, 0);
        cr_assert_eq(guest_ram_read_all(&r, &m, true, 3, &bytes, &e), 0, "%s", e.text);
        cr_expect_eq(bytes, 16 * PAGE_BYTES);
        assert_content(&r);
        guest_ram_unmap(&r);
        page_map_free(&m);
}

Test(guest_ram, mapped_files_give_the_same)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct guest_ram r;
        struct page_map m;
        struct err e = {0};
        struct pager_range parts[] = {{8, 10}, {18, 6}}; /* in the middle of a run too */

        make_map(&m, &t, 16);
        cr_assert_eq(guest_ram_map(PAGES * PAGE_BYTES, false, &r, &e), 0);
        cr_assert_eq(guest_ram_map_files(&r, &m, parts, 2, &e), 0, "%s", e.text);
        assert_content(&r);
        guest_ram_unmap(&r);
        page_map_free(&m);
}

Test(guest_ram, a_sum_that_does_not_match_names_file_offset_and_page)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct guest_ram r;
        struct page_map m;
        struct err e = {0};
        uint64_t bytes;

        make_map(&m, &t, 16);
        m.sums[3] ^= 1;
        cr_assert_eq(guest_ram_map(PAGES * PAGE_BYTES, true, &r, &e), 0);
        cr_expect_lt(guest_ram_read_all(&r, &m, true, 1, &bytes, &e), 0);
        cr_expect_eq(e.kind, ERR_SNAPSHOT);
        cr_expect(strstr(e.text, "memory: offset 12288") && strstr(e.text, "page 11"), "%s", e.text);
        guest_ram_unmap(&r);
        page_map_free(&m);
}

Test(guest_ram, a_file_that_ends_early_names_where)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct guest_ram r;
        struct page_map m;
        struct err e = {0};
        uint64_t bytes;

        make_map(&m, &t, 10);
        cr_assert_eq(guest_ram_map(PAGES * PAGE_BYTES, true, &r, &e), 0);
        cr_expect_lt(guest_ram_read_all(&r, &m, false, 2, &bytes, &e), 0);
        cr_expect_eq(e.kind, ERR_SNAPSHOT);
        cr_expect(strstr(e.text, "memory: offset 40960"), "%s", e.text);
        guest_ram_unmap(&r);
        page_map_free(&m);
}

Test(guest_ram, reading_a_page_that_cannot_be_had_is_an_error_and_no_signal)
{
        struct guest_ram r;
        struct err e = {0};
        uint8_t buf[2 * PAGE_BYTES];

        cr_assert_eq(guest_ram_map(PAGES * PAGE_BYTES, false, &r, &e), 0);
        cr_assert_eq(guest_ram_read(&r, 0, buf, sizeof(buf)), 0);
        cr_assert_eq(mprotect(r.base + PAGE_BYTES, PAGE_BYTES, PROT_NONE), 0);
        cr_expect_lt(guest_ram_read(&r, 0, buf, sizeof(buf)), 0);
        guest_ram_unmap(&r);
}
