/* uffd/busy_pages.c: open addressing with linear probing; what is taken out is closed up at once, so that no tombstones pile
 * up. */
#include "uffd/busy_pages.h"

#include "core/base/units.h"

#include <errno.h>
#include <sys/mman.h>

#define BITS 8

int busy_pages_init(struct busy_pages *b, uint64_t nr_pages)
{
        uint64_t max = MAX(MIN(nr_pages, (uint64_t)BUSY_PAGES_MAX), UINT64_C(1)), nr_slots = 2;
        void    *v;

        while (nr_slots < 2 * max)
                nr_slots *= 2;
        v = mmap(NULL, nr_slots * sizeof(*b->slots), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (v == MAP_FAILED)
                return -ENOMEM;
        *b = (struct busy_pages){ .slots = v, .nr_max = max, .mask = nr_slots - 1 };
        return 0;
}

void busy_pages_free(struct busy_pages *b)
{
        if (b->slots)
                munmap(b->slots, (b->mask + 1) * sizeof(*b->slots));
        *b = (struct busy_pages){ 0 };
}

void busy_pages_populate(struct busy_pages *b)
{
        (void)madvise(b->slots, (b->mask + 1) * sizeof(*b->slots), MADV_POPULATE_WRITE); /* it only saves time (Linux 5.14) */
}

/* Neighbours stand side by side: reads are of neighbours. Blocks of 64 are spread by Fibonacci hashing. */
static uint64_t home(const struct busy_pages *b, uint64_t page)
{
        return ((page >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 20 << 6 | (page & 63)) & b->mask;
}

/* The slot of the page, or the free one where it would stand. There is always a free one. */
static uint64_t find(const struct busy_pages *b, uint64_t page)
{
        uint64_t i = home(b, page);

        while (b->slots[i] && b->slots[i] >> BITS != page)
                i = (i + 1) & b->mask;
        return i;
}

uint8_t busy_pages_get(const struct busy_pages *b, uint64_t page)
{
        return (uint8_t)b->slots[find(b, page)];
}

/* Closes the gap at i: whoever stands further from home than the gap moves into it. */
static void take_out(struct busy_pages *b, uint64_t i)
{
        for (uint64_t j = (i + 1) & b->mask; b->slots[j]; j = (j + 1) & b->mask) {
                uint64_t from_home = (j - home(b, b->slots[j] >> BITS)) & b->mask;

                if (from_home < ((j - i) & b->mask))
                        continue;
                b->slots[i] = b->slots[j];
                i = j;
        }
        b->slots[i] = 0;
        b->nr--;
}

bool busy_pages_set(struct busy_pages *b, uint64_t page, uint8_t bits)
{
        uint64_t i = find(b, page);

        if (!bits) {
                if (b->slots[i])
                        take_out(b, i);
                return true;
        }
        if (!b->slots[i]) {
                if (b->nr == b->nr_max)
                        return false;
                b->nr++;
        }
        b->slots[i] = page << BITS | bits;
        return true;
}
