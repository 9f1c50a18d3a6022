/* Guest RAM that is a memfd, of small pages or of huge ones: what is absent stays absent, what was given back is free. */
#include "core/discard.h"
#include "core/huge_pool.h"
#include "core/ram_blocks.h"
#include "core/ram_presence.h"
#include "tests/support/huge_pool.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(ram_backing, .fini = huge_pool_give_back);

#define GRANULE 512u
#define PAGES   (4 * GRANULE)

static struct guest_ram make(enum ram_backing backing)
{
        struct guest_ram ram;
        struct err e = {0};

        if (backing == RAM_HUGETLB)
                need_hugetlb(8);
        cr_assert_eq(guest_ram_map_as(backing, pages_to_bytes(PAGES), false, &ram, &e), 0, "%s", e.text);
        return ram;
}

static void fill(const struct guest_ram *ram, uint64_t page, uint64_t nr, int with)
{
        memset(ram->base + pages_to_bytes(page), with, pages_to_bytes(nr));
}

static bool is(const struct guest_ram *ram, uint64_t page, uint8_t what)
{
        for (uint64_t i = 0; i < PAGE_BYTES; i++)
                if (ram->base[pages_to_bytes(page) + i] != what)
                        return false;
        return true;
}

static uint64_t memory_bytes(const struct guest_ram *ram)
{
        struct stat st;

        cr_assert_eq(fstat(ram->fd, &st), 0);
        return (uint64_t)st.st_blocks * 512;
}

/* What a walk over all of RAM finds: pages that are not zero, blocks that were passed over. */
struct seen {
        uint64_t data_pages, absent_pages;
};

static int see(void *arg, const void *bytes, uint64_t nr_pages, struct err *e)
{
        struct seen *s = arg;
        (void)e;

        for (uint64_t i = 0; bytes && i < nr_pages; i++)
                s->data_pages += ((const uint8_t *)bytes)[pages_to_bytes(i)] != 0;
        s->absent_pages += bytes ? 0 : nr_pages;
        return 0;
}

static struct seen walk(const struct guest_ram *ram)
{
        struct seen s = {0};
        struct err e = {0};

        cr_assert_eq(ram_blocks_walk(ram, see, &s, &e), 0, "%s", e.text);
        return s;
}

Test(ram_backing, a_memfd_is_sealed_and_begins_at_2_mib)
{
        struct guest_ram ram = make(RAM_MEMFD);

        cr_expect_eq((uintptr_t)ram.base % HUGE_PAGE_BYTES, 0);
        cr_expect_lt(ftruncate(ram.fd, 4096), 0);
        cr_expect_lt(ftruncate(ram.fd, (off_t)pages_to_bytes(PAGES + 1)), 0);
        guest_ram_unmap(&ram);
}

Test(ram_backing, what_is_saved_of_a_memfd_puts_nothing_into_it)
{
        struct guest_ram ram = make(RAM_MEMFD);
        uint64_t before;
        struct seen s;

        fill(&ram, 3, 1, 7);
        fill(&ram, 700, 5, 8);
        before = memory_bytes(&ram);
        cr_expect_eq(ram_blocks_resident(&ram, 0, PAGES), 6);
        s = walk(&ram);
        cr_expect_eq(s.data_pages, 6);
        cr_expect_eq(s.absent_pages, 2 * GRANULE);
        cr_expect_eq(memory_bytes(&ram), before);
        guest_ram_unmap(&ram);
}

/* The page is in the memfd, though this process has not mapped it: pagemap(5) knows nothing of it. */
Test(ram_backing, what_others_put_into_a_memfd_is_saved)
{
        struct guest_ram ram = make(RAM_MEMFD);

        cr_assert_eq(pwrite(ram.fd, "x", 1, 1234 * 4096), 1);
        cr_expect_eq(walk(&ram).data_pages, 1);
        guest_ram_unmap(&ram);
}

Test(ram_backing, what_is_discarded_of_a_memfd_reads_zero_and_is_free)
{
        struct guest_ram ram = make(RAM_MEMFD);
        struct discard d;

        fill(&ram, 0, PAGES, 9);
        discard_init(&d, &ram, 65530);
        cr_assert_eq(discard_pages(&d, 100, 50), 0);
        cr_expect_eq(memory_bytes(&ram), pages_to_bytes(PAGES - 50));
        for (uint64_t page = 0; page < PAGES; page++)
                cr_assert(is(&ram, page, page >= 100 && page < 150 ? 0 : 9), "page %llu", (unsigned long long)page);
        discard_fini(&d);
        guest_ram_unmap(&ram);
}

Test(ram_backing, what_is_saved_of_huge_pages_takes_none_from_the_pool)
{
        struct guest_ram ram = make(RAM_HUGETLB);
        struct seen s;

        fill(&ram, GRANULE + 3, 2, 7);
        s = walk(&ram);
        cr_expect_eq(s.data_pages, 2);
        cr_expect_eq(s.absent_pages, 3 * GRANULE);
        cr_expect_eq(memory_bytes(&ram), HUGE_PAGE_BYTES);
        guest_ram_unmap(&ram);
}

Test(ram_backing, whole_huge_pages_are_freed_and_parts_of_one_are_zero)
{
        struct guest_ram ram = make(RAM_HUGETLB);
        uint64_t first = GRANULE - 10, end = 2 * GRANULE + 20;
        struct discard d;

        fill(&ram, 0, PAGES, 9);
        discard_init(&d, &ram, 65530);
        cr_assert_eq(discard_pages(&d, first, end - first), 1); /* zero, not all of it freed */
        cr_expect_eq(memory_bytes(&ram), 3 * HUGE_PAGE_BYTES);
        for (uint64_t page = 0; page < PAGES; page++)
                cr_assert(is(&ram, page, page >= first && page < end ? 0 : 9), "page %llu", (unsigned long long)page);
        cr_assert_eq(discard_pages(&d, 0, GRANULE), 0);
        cr_expect(is(&ram, 5, 0));
        discard_fini(&d);
        guest_ram_unmap(&ram);
}

Test(ram_backing, a_pool_that_is_too_small_is_refused_with_the_sysctl)
{
        struct guest_ram ram;
        struct err e = {0};

        cr_assert_lt(guest_ram_map_as(RAM_HUGETLB, UINT64_C(1) << 40, false, &ram, &e), 0);
        cr_expect_eq(e.kind, ERR_HOST);
        cr_expect(strstr(e.text, "sysctl -w vm.nr_hugepages=") || strstr(e.text, "CONFIG_HUGETLBFS"), "%s", e.text);
}

Test(ram_backing, ram_that_is_no_multiple_of_2_mib_is_refused_for_huge_pages)
{
        struct guest_ram ram;
        struct err e = {0};

        cr_assert_eq(guest_ram_map_as(RAM_HUGETLB, 3 * PAGE_BYTES, false, &ram, &e), -EINVAL);
        cr_expect(strstr(e.text, "2 MiB"), "%s", e.text);
}

/* What was promised to one is not there for another, though nobody has touched it yet. */
Test(ram_backing, huge_pages_are_reserved_before_they_are_touched)
{
        struct guest_ram ram = make(RAM_HUGETLB);
        unsigned long long free_pages = 0, reserved = 0;
        FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
        struct err e = {0};

        cr_assert(f && fscanf(f, "%llu", &free_pages) == 1);
        fclose(f);
        f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "re");
        cr_assert(f && fscanf(f, "%llu", &reserved) == 1);
        fclose(f);
        cr_expect_geq(reserved, 4);
        cr_expect_lt(huge_pool_check((free_pages - reserved + 4) * HUGE_PAGE_BYTES, &e), 0);
        guest_ram_unmap(&ram);
}
