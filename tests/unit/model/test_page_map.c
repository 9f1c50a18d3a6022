/* test_page_map: runs are joined, found, counted and compared. */
#include "core/model/page_map.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void append_zero(struct page_map *m, uint64_t first, uint64_t nr)
{
        cr_assert_eq(page_map_append(m, &(struct page_run){ .first_page = first, .nr_pages = nr, .kind = RUN_ZERO }), 0);
}

static void append_raw(struct page_map *m, uint64_t first, uint64_t nr, uint64_t file_page, uint64_t first_sum)
{
        cr_assert_eq(page_map_append(m, &(struct page_run){ .first_page = first, .nr_pages = nr, .kind = RUN_RAW,
                                                            .file_offset_bytes = pages_to_bytes(file_page),
                                                            .first_sum = first_sum }), 0);
}

/* 10 pages: two zero, three data, four zero, one data. */
static struct page_map ten_pages(void)
{
        struct page_map m;

        page_map_init(&m, 10);
        append_zero(&m, 0, 2);
        append_raw(&m, 2, 3, 2, 0);
        append_zero(&m, 5, 4);
        append_raw(&m, 9, 1, 9, 0);
        return m;
}

Test(page_map, every_page_is_found_in_its_run)
{
        static const size_t run_of[10] = { 0, 0, 1, 1, 1, 2, 2, 2, 2, 3 };
        struct page_map     m = ten_pages();

        for (uint64_t p = 0; p < 10; p++)
                cr_assert_eq(page_map_find(&m, p), &m.runs[run_of[p]]);
        page_map_free(&m);
}

Test(page_map, a_lookup_past_the_last_run_is_absent)
{
        struct page_map m = ten_pages();

        cr_assert_null(page_map_find(&m, 10));
        cr_assert_null(page_map_find(&m, UINT64_MAX));
        page_map_free(&m);
}

Test(page_map, a_lookup_in_a_map_without_runs_is_absent)
{
        struct page_map m;

        page_map_init(&m, 10);
        cr_assert_null(page_map_find(&m, 0));
}

Test(page_map, a_lookup_among_many_runs_finds_what_a_slow_search_finds)
{
        struct page_map m;
        uint64_t        first = 0;

        srand(1);
        page_map_init(&m, 5000);
        for (int i = 0; first < 5000; i++) {
                uint64_t nr = MIN(1 + (uint64_t)rand() % 9, 5000 - first);

                if (i % 2)
                        append_zero(&m, first, nr);
                else
                        append_raw(&m, first, nr, first, 0);
                first += nr;
        }
        for (uint64_t p = 0, i = 0; p < 5000; p++) {
                if (p == m.runs[i].first_page + m.runs[i].nr_pages)
                        i++;
                cr_assert_eq(page_map_find(&m, p), &m.runs[i]);
        }
        page_map_free(&m);
}

Test(page_map, zero_runs_side_by_side_are_one)
{
        struct page_map m;

        page_map_init(&m, 10);
        append_zero(&m, 0, 3);
        append_zero(&m, 3, 7);
        cr_assert_eq(m.nr_runs, 1);
        cr_assert_eq(m.runs[0].nr_pages, 10);
        page_map_free(&m);
}

Test(page_map, raw_runs_that_go_on_in_the_file_are_one)
{
        struct page_map m;

        page_map_init(&m, 10);
        append_raw(&m, 0, 3, 100, 0);
        append_raw(&m, 3, 4, 103, 0);
        append_raw(&m, 7, 3, 107, 0);
        cr_assert_eq(m.nr_runs, 1);
        page_map_free(&m);
}

Test(page_map, raw_runs_with_a_seam_in_file_source_or_sums_stay_apart)
{
        struct page_map m;

        page_map_init(&m, 10);
        append_raw(&m, 0, 2, 100, 0);
        append_raw(&m, 2, 2, 103, 0); /* the file has a page between them */
        cr_assert_eq(m.nr_runs, 2);
        cr_assert_eq(page_map_append(&m, &(struct page_run){ .first_page = 4, .nr_pages = 1, .kind = RUN_RAW, .source = 1,
                                                             .file_offset_bytes = pages_to_bytes(105) }), 0);
        cr_assert_eq(m.nr_runs, 3);
        append_raw(&m, 5, 1, 0, 7);
        append_raw(&m, 6, 1, 1, 9); /* sum 8 belongs to nobody */
        cr_assert_eq(m.nr_runs, 5);
        append_raw(&m, 7, 3, 2, 10); /* and this goes on in all */
        cr_assert_eq(m.nr_runs, 5);
        page_map_free(&m);
}

Test(page_map, in_a_map_with_sums_two_runs_with_the_first_sum_stay_apart)
{
        struct page_map m;

        page_map_init(&m, 10);
        m.sums = calloc(5, sizeof(*m.sums));
        m.nr_sums = 5;
        append_raw(&m, 0, 5, 0, 0);
        append_raw(&m, 5, 5, 5, 0);
        cr_assert_eq(m.nr_runs, 2);
        page_map_free(&m);
}

Test(page_map, a_run_that_leaves_a_gap_overlaps_or_leaves_ram_is_refused)
{
        static const struct page_run bad[] = {
                { .first_page = 6, .nr_pages = 1 },          /* gap */
                { .first_page = 4, .nr_pages = 1 },          /* overlap */
                { .first_page = 5, .nr_pages = 0 },          /* nothing */
                { .first_page = 5, .nr_pages = 6 },          /* past RAM */
                { .first_page = 5, .nr_pages = UINT32_MAX }, /* more than there are */
        };
        struct page_map m;

        page_map_init(&m, 10);
        append_zero(&m, 0, 5);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                cr_assert_eq(page_map_append(&m, &bad[i]), -EINVAL, "row %zu", i);
        cr_assert_eq(m.nr_runs, 1);
        cr_assert_eq(m.runs[0].nr_pages, 5);
        page_map_free(&m);
}

Test(page_map, pages_are_counted_by_kind)
{
        struct page_map    m = ten_pages();
        struct page_counts c = page_map_count(&m);

        cr_assert_eq(c.zero_pages, 6);
        cr_assert_eq(c.raw_pages, 4);
        page_map_free(&m);
}

Test(page_map, freeing_closes_the_sources_and_accepts_twice)
{
        struct page_map m = ten_pages();
        int             fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        cr_assert_eq(page_map_add_source(&m, fd, 4096, "memory"), 0);
        cr_assert_str_eq(m.sources[0].name, "memory");
        page_map_free(&m);
        cr_assert_eq(fcntl(fd, F_GETFD), -1);
        page_map_free(&m);
        page_map_free(NULL);
}

Test(page_map, sources_are_numbered_and_long_names_are_cut)
{
        struct page_map m;
        char            name[200];

        memset(name, 'n', sizeof(name));
        name[sizeof(name) - 1] = '\0';
        page_map_init(&m, 10);
        for (int i = 0; i < 5; i++)
                cr_assert_eq(page_map_add_source(&m, -1, 4096, name), i);
        cr_assert_eq(strlen(m.sources[4].name), sizeof(m.sources[4].name) - 1);
        page_map_free(&m);
}

Test(page_map, maps_with_the_same_runs_are_equal_whatever_their_sources)
{
        struct page_map a = ten_pages(), b = ten_pages();

        cr_assert_eq(page_map_add_source(&b, -1, 4096, "memory"), 0);
        b.runs[0].file_offset_bytes = 4096; /* means nothing in a zero run */
        cr_assert(page_map_equal(&a, &b));
        page_map_free(&a);
        page_map_free(&b);
}

Test(page_map, maps_that_differ_in_one_member_of_a_run_are_not_equal)
{
        struct page_map a = ten_pages(), b = ten_pages(), shorter;

        page_map_init(&shorter, 9);
        append_zero(&shorter, 0, 9);
        cr_assert(!page_map_equal(&a, &shorter));
        b.runs[1].file_offset_bytes += 4096;
        cr_assert(!page_map_equal(&a, &b));
        b.runs[1] = a.runs[1];
        b.runs[1].source = 1;
        cr_assert(!page_map_equal(&a, &b));
        b.runs[1] = a.runs[1];
        b.runs[3].kind = RUN_ZERO;
        cr_assert(!page_map_equal(&a, &b));
        page_map_free(&a);
        page_map_free(&b);
        page_map_free(&shorter);
}
