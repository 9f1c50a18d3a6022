/* test_page_sums: sums that are in a file are read, few or many at a time, and what was cut off is missed. */
#include "core/model/page_sums.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define SUMS   1000u
#define BEFORE 24u /* bytes of the file: a header */

/* Sum k is 3 * k + 1. */
static struct page_map make(void)
{
        struct page_map  m;
        struct sums_file f = { .mapping_bytes = 3 * PAGE_BYTES, .fd = memfd_create("pages", MFD_CLOEXEC), .offset_bytes = BEFORE };

        page_map_init(&m, SUMS);
        for (uint64_t k = 0; k < SUMS; k++) {
                uint64_t sum = 3 * k + 1;

                cr_assert_eq(pwrite(f.fd, &sum, sizeof(sum), (off_t)(BEFORE + k * sizeof(sum))), sizeof(sum));
        }
        f.mapping = mmap(NULL, f.mapping_bytes, PROT_READ, MAP_SHARED, f.fd, 0);
        cr_assert_neq(f.mapping, MAP_FAILED);
        m.sums = (void *)((uint8_t *)f.mapping + BEFORE);
        m.nr_sums = SUMS;
        m.sums_file = f;
        return m;
}

static int copy(struct page_sums *s, uint64_t first_sum, uint64_t skip, uint64_t nr)
{
        const struct page_run run = { .nr_pages = SUMS, .kind = RUN_RAW, .first_sum = first_sum };
        uint64_t              v[SUMS];
        int                   r = page_sums_copy(s, &run, skip, nr, v);

        for (uint64_t i = 0; r == 0 && i < nr; i++)
                cr_assert_eq(v[i], 3 * (first_sum + skip + i) + 1, "sum %d", (int)i);
        return r;
}

Test(page_sums, any_number_of_them_from_anywhere_is_right)
{
        static const struct {
                uint64_t first_sum, skip, nr;
        } asked[] = { { 0, 0, SUMS }, { 0, 250, 10 }, { 100, 155, 300 }, { 0, 0, 0 }, { 990, 9, 1 }, { 0, 256, PAGE_SUMS_WINDOW }, { 5, 0, 255 } };
        struct page_map  m = make();
        struct page_sums s;

        page_sums_init(&s, &m);
        for (size_t i = 0; i < ARRAY_LEN(asked); i++)
                cr_expect_eq(copy(&s, asked[i].first_sum, asked[i].skip, asked[i].nr), 0, "row %d", (int)i);
        page_map_free(&m);
}

Test(page_sums, those_that_are_cut_off_are_missed_and_the_others_right)
{
        struct page_map  m = make();
        struct page_sums s;

        page_sums_init(&s, &m);
        cr_assert_eq(ftruncate(m.sums_file.fd, BEFORE + 700 * 8 + 3), 0);
        cr_expect_eq(copy(&s, 0, 0, SUMS), -EBADMSG);
        cr_expect_eq(copy(&s, 0, 600, 101), -EBADMSG);
        cr_expect_eq(copy(&s, 0, 600, 100), 0);
        cr_expect_eq(copy(&s, 0, 0, 700), 0);
        cr_expect_eq(page_map_own_sums(&m), -EBADMSG);
        page_map_free(&m);
}

Test(page_sums, who_owns_them_needs_no_file)
{
        struct page_map  m = make();
        struct page_sums s;

        cr_assert_eq(page_map_own_sums(&m), 0);
        cr_assert_null(m.sums_file.mapping);
        page_sums_init(&s, &m);
        cr_expect_eq(copy(&s, 1, 2, 900), 0);
        page_map_free(&m);
}
