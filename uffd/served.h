/* uffd/served.h: which pages the uffd serves.
 * Owns:    nothing; the ranges are the caller's of pager_new.
 * Threads: read-only.
 * Blocks:  never. */
#pragma once

#include "uffd/pager.h"

struct served {
        const struct pager_range *v; /* sorted, apart */
        size_t                    nr;
};

/* The range that holds page, or NULL. O(log ranges). */
static inline const struct pager_range *served_find(const struct served *s, uint64_t page)
{
        size_t low = 0, high = s->nr;

        while (low < high) {
                size_t                    mid = low + (high - low) / 2;
                const struct pager_range *r = &s->v[mid];

                if (page < r->first_page)
                        high = mid;
                else if (page - r->first_page >= r->nr_pages)
                        low = mid + 1;
                else
                        return r;
        }
        return NULL;
}
