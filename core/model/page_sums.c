/* core/model/page_sums.c: a window that follows whoever asks. */
#include "core/model/page_sums.h"

#include "core/base/fdio.h"

void page_sums_init(struct page_sums *s, const struct page_map *map)
{
        s->map = map;
        s->first = s->nr = 0;
}

static bool move_window(struct page_sums *s, uint64_t index)
{
        const struct page_map *m = s->map;
        uint64_t               first = index / PAGE_SUMS_WINDOW * PAGE_SUMS_WINDOW, nr = MIN(m->nr_sums - first, (uint64_t)PAGE_SUMS_WINDOW);
        ssize_t                n = fd_pread_full(m->sums_file.fd, s->v, nr * sizeof(s->v[0]),
                                                 m->sums_file.offset_bytes + first * sizeof(s->v[0]));

        s->first = first;
        s->nr = n < 0 ? 0 : (uint64_t)n / sizeof(s->v[0]);
        return index - first < s->nr;
}

bool page_sums_get(struct page_sums *s, const struct page_run *run, uint64_t skip, uint64_t *ret)
{
        uint64_t index = run->first_sum + skip;

        if (!s->map->sums_file.mapping) {
                *ret = s->map->sums[index];
                return true;
        }
        if (index - s->first >= s->nr && !move_window(s, index))
                return false;
        *ret = s->v[index - s->first];
        return true;
}
