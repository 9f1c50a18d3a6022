/* uffd/demand.c: a small sorted array of waiting faults. */
#include "uffd/demand.h"

#include <string.h>

size_t demand_find(const struct demand *d, uint64_t page)
{
        size_t low = 0, high = d->nr;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (d->v[mid].page < page)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

bool demand_add(struct demand *d, uint64_t page, uint64_t now_ns)
{
        size_t i;

        if (d->nr == DEMAND_MAX)
                return false;
        i = demand_find(d, page);
        memmove(&d->v[i + 1], &d->v[i], (d->nr - i) * sizeof(d->v[0]));
        d->v[i] = (struct demand_entry){ .page = page, .since_ns = now_ns };
        d->nr++;
        return true;
}

uint64_t demand_take(struct demand *d, uint64_t first_page, uint64_t nr_pages, uint64_t now_ns)
{
        size_t   from = demand_find(d, first_page), to = from;
        uint64_t waited_ns = 0;

        for (; to < d->nr && d->v[to].page - first_page < nr_pages; to++)
                waited_ns += now_ns - d->v[to].since_ns;
        memmove(&d->v[from], &d->v[to], (d->nr - to) * sizeof(d->v[0]));
        d->nr -= to - from;
        return waited_ns;
}
