/* core/collapse: full ranges become huge pages with the same bytes; sparse and mapped ones stay. */
#include "core/collapse.h"
#include "core/probe.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RANGE (HUGE_PAGE_BYTES / PAGE_BYTES)

static void fill(struct guest_ram *r, uint64_t first, uint64_t nr)
{
        for (uint64_t i = first; i < first + nr; i++)
                memset(r->base + pages_to_bytes(i), (int)(i % 251) + 1, PAGE_BYTES);
}

static void assert_filled(const struct guest_ram *r, uint64_t first, uint64_t nr)
{
        for (uint64_t i = first; i < first + nr; i++)
                for (uint64_t k = 0; k < PAGE_BYTES; k += 509)
                        cr_assert_eq(r->base[pages_to_bytes(i) + k], (uint8_t)(i % 251 + 1), "page %llu", (unsigned long long)i);
}

static uint64_t collapsed_when_done(const struct guest_ram *r, uint64_t expected)
{
        struct collapse *c;
        struct err e = {0};
        uint64_t bytes;

        cr_assert_eq(collapse_start(r, &c, &e), 0, "%s", e.text);
        for (int ms = 0; ms < 20000 && collapse_bytes(c) < expected; ms += 5)
                usleep(5000);
        usleep(20000); /* should it take more than it ought to */
        bytes = collapse_bytes(c);
        collapse_free(c);
        return bytes;
}

Test(collapse, full_ranges_become_huge_with_the_same_bytes_and_sparse_and_mapped_ones_stay, .timeout = 60)
{
        struct pager_range mapped = {3 * RANGE + 10, 1};
        struct guest_ram r;
        struct host_caps caps;
        struct err e = {0};

        host_probe(&caps);
        if (!caps.madv_collapse)
                cr_skip_test("this kernel has no MADV_COLLAPSE");
        cr_assert_eq(guest_ram_map(4 * HUGE_PAGE_BYTES + 5 * PAGE_BYTES, false, &r, &e), 0);
        r.mapped = &mapped;
        r.nr_mapped = 1;
        fill(&r, 0, RANGE);
        fill(&r, RANGE, 100);             /* most of it was never there */
        fill(&r, 2 * RANGE, RANGE - 20);  /* a little of it */
        fill(&r, 3 * RANGE, RANGE + 5);   /* a mapped file reaches in */
        cr_expect_eq(collapsed_when_done(&r, 2 * HUGE_PAGE_BYTES), 2 * HUGE_PAGE_BYTES);
        assert_filled(&r, 0, RANGE);
        assert_filled(&r, RANGE, 100);
        assert_filled(&r, 2 * RANGE, RANGE - 20);
        assert_filled(&r, 3 * RANGE, RANGE + 5);
        cr_expect_eq(r.base[pages_to_bytes(3 * RANGE - 1)], 0, "what was not there is zeros");
        guest_ram_unmap(&r);
}

Test(collapse, it_can_be_ended_at_any_time, .timeout = 60)
{
        struct guest_ram r;
        struct collapse *c;
        struct err e = {0};

        cr_assert_eq(guest_ram_map(16 * HUGE_PAGE_BYTES, false, &r, &e), 0);
        fill(&r, 0, 16 * RANGE);
        cr_assert_eq(collapse_start(&r, &c, &e), 0, "%s", e.text);
        collapse_free(c);
        assert_filled(&r, 0, 16 * RANGE);
        guest_ram_unmap(&r);
}
