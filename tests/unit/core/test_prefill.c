/* core/prefill: whole 2 MiB ranges, zeros in between, errors with their place. */
#include "core/prefill.h"
#include "tests/support/tmpdir.h"

#include "core/base/clock.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <xxhash.h>

#define RANGE (HUGE_PAGE_BYTES / PAGE_BYTES)
#define PAGES (3 * RANGE)

/* RAM of three ranges: data but for 100 zero pages in the middle of the second. */
struct snapshot_ram {
        struct tmpdir    dir;
        struct page_map  map;
        struct guest_ram ram;
};

static uint8_t byte_of(uint64_t page)
{
        return (uint8_t)(page % 251 + 1);
}

static void ram_init(struct snapshot_ram *s, bool sums)
{
        struct page_run runs[] = {
                {.nr_pages = RANGE + 200, .kind = RUN_RAW, .first_sum = sums ? 0 : NO_SUM},
                {.first_page = RANGE + 200, .nr_pages = 100, .kind = RUN_ZERO},
                {.first_page = RANGE + 300, .nr_pages = PAGES - RANGE - 300, .kind = RUN_RAW,
                 .file_offset_bytes = pages_to_bytes(RANGE + 300),
                 .first_sum = sums ? RANGE + 200 : NO_SUM},
        };
        uint8_t *bytes = malloc(pages_to_bytes(PAGES));
        struct err e = {0};

        *s = (struct snapshot_ram){.dir = tmpdir_new()};
        for (uint64_t i = 0; i < PAGES; i++)
                memset(bytes + pages_to_bytes(i), byte_of(i), PAGE_BYTES);
        tmpdir_write(&s->dir, "memory", bytes, pages_to_bytes(PAGES));
        page_map_init(&s->map, PAGES);
        cr_assert_eq(page_map_add_source(&s->map, openat(s->dir.fd, "memory", O_RDONLY | O_CLOEXEC), pages_to_bytes(PAGES),
                                         "memory"), 0);
        if (sums) {
                s->map.sums = calloc(PAGES, sizeof(*s->map.sums));
                s->map.nr_sums = PAGES - 100;
                for (uint64_t page = 0, i = 0; page < PAGES; page++)
                        if (page < RANGE + 200 || page >= RANGE + 300)
                                s->map.sums[i++] = XXH3_64bits(bytes + pages_to_bytes(page), PAGE_BYTES);
        }
        free(bytes);
        for (size_t i = 0; i < 3; i++)
                cr_assert_eq(page_map_append(&s->map, &runs[i]), 0);
        cr_assert_eq(guest_ram_map(pages_to_bytes(PAGES), false, &s->ram, &e), 0);
}

static void ram_free(struct snapshot_ram *s)
{
        guest_ram_unmap(&s->ram);
        page_map_free(&s->map);
        tmpdir_free(&s->dir);
}

static int prefill(struct snapshot_ram *s, bool verify, bool cold, uint64_t *ret_bytes, struct err *e)
{
        static const struct pager_range ranges[] = {{0, RANGE}, {RANGE, RANGE}};
        struct prefill_config c = {.ram = &s->ram, .map = &s->map, .ranges = ranges, .nr_ranges = 2, .verify = verify,
                                   .cold = cold, .nr_threads = cold ? 4 : 1};
        uint64_t before = now_ns(), ns;
        struct prefill *p;
        int r;

        cr_assert_eq(prefill_begin(&c, &p, e), 0, "%s", e->text);
        prefill_help(p);
        r = prefill_finish(p, ret_bytes, &ns, e);
        cr_expect(ns >= before && ns <= now_ns());
        return r;
}

static void check_good(bool verify, bool cold)
{
        struct snapshot_ram s;
        struct err e = {0};
        uint64_t bytes;

        ram_init(&s, verify);
        cr_assert_eq(prefill(&s, verify, cold, &bytes, &e), 0, "%s", e.text);
        cr_expect_eq(bytes, pages_to_bytes(2 * RANGE - 100), "zeros are not read");
        for (uint64_t page = 0; page < PAGES; page++) {
                bool there = page < 2 * RANGE && (page < RANGE + 200 || page >= RANGE + 300);

                for (uint64_t k = 0; k < PAGE_BYTES; k += 509)
                        cr_assert_eq(s.ram.base[pages_to_bytes(page) + k], there ? byte_of(page) : 0, "page %llu",
                                     (unsigned long long)page);
        }
        ram_free(&s);
}

Test(prefill, ranges_are_read_whole_and_what_lies_beside_them_is_not_touched)
{
        check_good(false, false);
}

Test(prefill, verified_ranges_too_and_from_a_cold_disk)
{
        check_good(true, true);
}

Test(prefill, a_page_that_does_not_match_its_checksum_is_named)
{
        struct snapshot_ram s;
        struct err e = {0};
        uint64_t bytes;

        ram_init(&s, true);
        s.map.sums[RANGE + 7] ^= 1;
        cr_expect_lt(prefill(&s, true, false, &bytes, &e), 0);
        cr_expect_eq(e.kind, ERR_SNAPSHOT);
        cr_expect(strstr(e.text, "memory") && strstr(e.text, "519"), "%s", e.text);
        ram_free(&s);
}

Test(prefill, nothing_to_read_needs_no_thread)
{
        struct prefill_config c = {0};
        struct prefill *p = (struct prefill *)&c;
        uint64_t bytes = 0, ns = 7;

        cr_assert_eq(prefill_begin(&c, &p, NULL), 0);
        cr_expect_null(p);
        prefill_help(p);
        cr_expect_eq(prefill_finish(p, &bytes, &ns, NULL), 0);
        cr_expect_eq(ns, 7, "nothing came");
}
