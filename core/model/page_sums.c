/* core/model/page_sums.c: a window that follows whoever asks. */
#include "core/model/page_sums.h"

#include "core/base/fdio.h"

#include <errno.h>
#include <string.h>

void page_sums_init(struct page_sums *s, const struct page_map *map)
{
        s->map = map;
        s->first = s->nr = 0;
}

/* Sums [first, first + nr) of the file; how many of them it has, or -errno. */
static int64_t read_sums(const struct page_map *m, uint64_t first, uint64_t nr, uint64_t *ret)
{
        ssize_t n = fd_pread_full(m->sums_file.fd, ret, nr * sizeof(*ret), m->sums_file.offset_bytes + first * sizeof(*ret));

        return n < 0 ? n : n / (ssize_t)sizeof(*ret);
}

/* 0, -EBADMSG or -errno, as page_sums_copy. */
static int move_window(struct page_sums *s, uint64_t index)
{
        uint64_t first = index / PAGE_SUMS_WINDOW * PAGE_SUMS_WINDOW;
        int64_t  n = read_sums(s->map, first, MIN(s->map->nr_sums - first, (uint64_t)PAGE_SUMS_WINDOW), s->v);

        s->first = first;
        s->nr = n < 0 ? 0 : (uint64_t)n;
        return n < 0 ? (int)n : index - first < s->nr ? 0 : -EBADMSG;
}

/* 0, -EBADMSG or -errno, as page_sums_copy. */
static int get(struct page_sums *s, uint64_t index, uint64_t *ret)
{
        int r = index - s->first < s->nr ? 0 : move_window(s, index);

        if (r == 0)
                *ret = s->v[index - s->first];
        return r;
}

bool page_sums_get(struct page_sums *s, const struct page_run *run, uint64_t skip, uint64_t *ret)
{
        uint64_t index = run->first_sum + skip;

        if (s->map->sums_file.mapping)
                return get(s, index, ret) == 0;
        *ret = s->map->sums[index];
        return true;
}

/* Many at once, or few by the window, which the next run's may be in. */
int page_sums_copy(struct page_sums *s, const struct page_run *run, uint64_t skip, uint64_t nr, uint64_t *ret)
{
        uint64_t first = run->first_sum + skip;
        int64_t  n;
        int      r = 0;

        if (!s->map->sums_file.mapping) {
                memcpy(ret, s->map->sums + first, nr * sizeof(*ret));
                return 0;
        }
        if (nr >= PAGE_SUMS_WINDOW) {
                n = read_sums(s->map, first, nr, ret);
                return n < 0 ? (int)n : (uint64_t)n < nr ? -EBADMSG : 0;
        }
        for (uint64_t i = 0; r == 0 && i < nr; i++)
                r = get(s, first + i, &ret[i]);
        return r;
}
