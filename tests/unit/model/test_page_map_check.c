/* test_page_map_check: a hostile map is refused, and the message names run, source and offset. */
#include "core/model/page_map.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* 10 pages over one source of 10 pages, with 4 sums: 0 to 3 data, 4 to 9 zero. Written by hand, as a file would fill it. */
static struct page_map valid(void)
{
        struct page_map m;

        page_map_init(&m, 10);
        cr_assert_eq(page_map_add_source(&m, -1, 10 * PAGE_BYTES, "memory"), 0);
        m.runs = calloc(2, sizeof(*m.runs));
        m.nr_runs = m.cap_runs = 2;
        m.runs[0] = (struct page_run){ .nr_pages = 4, .kind = RUN_RAW };
        m.runs[1] = (struct page_run){ .first_page = 4, .nr_pages = 6, .kind = RUN_ZERO };
        m.sums = calloc(4, sizeof(*m.sums));
        m.nr_sums = 4;
        return m;
}

static void assert_refused(struct page_map *m, const char *text)
{
        struct err e = { 0 };

        cr_assert_eq(page_map_check(m, &e), -EBADMSG);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, text), "%s", e.text);
        page_map_free(m);
}

Test(page_map_check, a_map_that_keeps_every_rule_is_accepted)
{
        struct page_map m = valid();
        struct err      e = { 0 };

        cr_assert_eq(page_map_check(&m, &e), 0, "%s", e.text);
        page_map_free(&m);
}

Test(page_map_check, a_map_of_no_pages_is_accepted)
{
        struct page_map m;

        page_map_init(&m, 0);
        cr_assert_eq(page_map_check(&m, NULL), 0);
}

Test(page_map_check, a_gap_is_refused)
{
        struct page_map m = valid();

        m.runs[1].first_page = 5;
        assert_refused(&m, "page map: run 1: expected to begin at page 4, found page 5");
}

Test(page_map_check, an_overlap_is_refused)
{
        struct page_map m = valid();

        m.runs[1].first_page = 3;
        assert_refused(&m, "run 1: expected to begin at page 4, found page 3");
}

Test(page_map_check, a_run_of_no_pages_is_refused)
{
        struct page_map m = valid();

        m.runs[1].nr_pages = 0;
        assert_refused(&m, "run 1 at page 4: expected 1 to 6 pages, found 0");
}

Test(page_map_check, a_run_past_ram_is_refused)
{
        struct page_map m = valid();

        m.runs[1].nr_pages = 7;
        assert_refused(&m, "run 1 at page 4: expected 1 to 6 pages, found 7");
}

Test(page_map_check, a_run_whose_end_overflows_is_refused)
{
        struct page_map m = valid();

        m.runs[1].nr_pages = UINT32_MAX - 2;
        assert_refused(&m, "run 1 at page 4");
}

Test(page_map_check, pages_without_a_run_are_refused)
{
        struct page_map m = valid();

        m.nr_runs = 1;
        assert_refused(&m, "expected runs for 10 pages, found them for 4");
}

Test(page_map_check, a_source_that_is_not_there_is_refused)
{
        struct page_map m = valid();

        m.runs[0].source = 1;
        assert_refused(&m, "run 0: expected one of 1 sources, found source 1");
}

Test(page_map_check, an_extent_off_the_page_grid_is_refused)
{
        struct page_map m = valid();

        m.runs[0].file_offset_bytes = 512;
        assert_refused(&m, "memory: offset 512: expected an offset in whole 4096-byte pages");
}

Test(page_map_check, an_extent_one_byte_past_its_source_is_refused)
{
        struct page_map m = valid();

        m.sources[0].size_bytes = 4 * PAGE_BYTES - 1;
        assert_refused(&m, "memory: offset 0: expected 16384 bytes for RAM pages from 0 on (run 0), found a file of 16383 bytes");
}

Test(page_map_check, an_extent_whose_end_overflows_is_refused)
{
        struct page_map m = valid();

        m.runs[0].file_offset_bytes = UINT64_MAX - 4095;
        assert_refused(&m, "memory: offset 18446744073709547520");
}

Test(page_map_check, more_ram_than_a_page_number_has_bits_for_is_refused)
{
        struct page_map m = valid();

        m.nr_pages = 1ULL << 32;
        m.runs[0].nr_pages = UINT32_MAX;
        assert_refused(&m, "expected at most 4294967295 pages, found 4294967296");
}

Test(page_map_check, sums_past_the_last_are_refused)
{
        struct page_map m = valid();

        m.runs[0].first_sum = 1;
        assert_refused(&m, "run 0: expected 4 checksums from number 1 on, found 4 in all");
}

Test(page_map_check, sums_whose_index_overflows_are_refused)
{
        struct page_map m = valid();

        m.runs[0].first_sum = UINT64_MAX - 1;
        assert_refused(&m, "checksums from number 18446744073709551614 on");
}

Test(page_map_check, a_count_of_sums_that_are_not_there_is_refused)
{
        struct page_map m = valid();

        free(m.sums);
        m.sums = NULL;
        assert_refused(&m, "expected no checksums, found 4");
}

Test(page_map_check, a_kind_that_nobody_knows_is_refused)
{
        struct page_map m = valid();

        m.runs[1].kind = 7;
        assert_refused(&m, "run 1: expected kind 0 (zero), 1 (raw) or 2 (packed), found 7");
}

static uint64_t odd_number(void)
{
        static const uint64_t edges[] = { 0, 1, 3, 4, 5, 6, 10, 4096, 1ULL << 52, 1ULL << 63, UINT64_MAX - 4095, UINT64_MAX };

        return edges[(size_t)rand() % ARRAY_LEN(edges)] + (uint64_t)(rand() % 2);
}

/* Every member in turn, ten thousand seeded times: whatever is accepted must be safe to follow. */
Test(page_map_check, what_is_accepted_after_random_damage_lies_inside_ram_source_and_sums)
{
        srand(1);
        for (int i = 0; i < 10000; i++) {
                struct page_map  m = valid();
                struct page_run *run = &m.runs[rand() % 2];
                uint64_t        *members[] = { &run->first_page, &run->file_offset_bytes, &run->first_sum, &m.nr_pages,
                                               &m.sources[0].size_bytes };

                for (int k = rand() % 3; k >= 0; k--)
                        *members[(size_t)rand() % ARRAY_LEN(members)] = odd_number();
                if (rand() % 2)
                        run->nr_pages = (uint32_t)odd_number();
                if (page_map_check(&m, NULL) == 0) {
                        for (size_t r = 0; r < 2; r++) {
                                const struct page_run *ok = &m.runs[r];
                                __uint128_t            end = (__uint128_t)ok->file_offset_bytes + (__uint128_t)ok->nr_pages * 4096;

                                cr_assert_leq(ok->first_page + ok->nr_pages, m.nr_pages);
                                cr_assert(ok->kind == RUN_ZERO || end <= m.sources[0].size_bytes);
                                cr_assert(ok->kind == RUN_ZERO || ok->first_sum == NO_SUM ||
                                          ok->first_sum + ok->nr_pages <= m.nr_sums);
                        }
                }
                page_map_free(&m);
        }
}
