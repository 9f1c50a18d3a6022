/* core/page_ranges.h: looking a page up in ranges of RAM that are sorted and apart.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "uffd/pager.h"

/* The index of the first range that ends past page; nr where none does. O(log nr). */
static inline size_t page_ranges_past(const struct pager_range *v, size_t nr, uint64_t page)
{
        size_t low = 0, high = nr;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (v[mid].first_page + v[mid].nr_pages <= page)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}
