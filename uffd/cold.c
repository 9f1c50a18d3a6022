/* uffd/cold.c: cachestat(2), mincore(2) over a mapping, and /proc/self/fd to open a file once more. */
#include "uffd/cold.h"

#include "core/base/units.h"
#include "uffd/fill.h"
#include "uffd/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How many pages are asked about at once: the longest extent that prefetch brings. */
#define LOOK_PAGES        FILL_FULL_PAGES
#define LOOK_AROUND_PAGES UINT64_C(512)

#define NR_CACHESTAT 451 /* Debian 12's headers do not have it */

struct cachestat_range {
        uint64_t off, len;
};

struct cachestat {
        uint64_t nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted;
};

/* Offsets of pages in a source are multiples of PAGE_BYTES (page_map.h), which is more than any block device asks for. A file system that asks
 * for more answers -EINVAL, and is not asked again. */
static int open_direct(int fd)
{
        char path[32];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return open(path, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK);
}

static void open_source(struct cold_source *s, const struct page_source *src, const struct pager_faults *faults)
{
        uint64_t pages = bytes_to_pages(src->size_bytes + PAGE_BYTES - 1);
        void    *m = pages ? mmap(NULL, pages_to_bytes(pages), PROT_READ, MAP_SHARED | MAP_NORESERVE, src->fd, 0) : MAP_FAILED;

        *s = (struct cold_source){
                .direct_fd   = faults && faults->no_direct ? -1 : open_direct(src->fd),
                .whole_bytes = src->size_bytes / PAGE_BYTES * PAGE_BYTES,
                .mapping     = m == MAP_FAILED ? NULL : m,
        };
}

int cold_init(struct cold_sources *c, const struct page_map *map, const struct pager_faults *faults)
{
        struct cold_source *v = calloc(map->nr_sources + 1, sizeof(*v));

        if (!v)
                return -ENOMEM;
        for (size_t i = 0; i < map->nr_sources; i++)
                open_source(&v[i], &map->sources[i], faults);
        *c = (struct cold_sources){ .map = map, .v = v };
        return 0;
}

void cold_free(struct cold_sources *c)
{
        for (size_t i = 0; c->v && i < c->map->nr_sources; i++) {
                if (c->v[i].direct_fd >= 0)
                        close(c->v[i].direct_fd);
                if (c->v[i].mapping)
                        munmap(c->v[i].mapping, bytes_to_pages(c->map->sources[i].size_bytes + PAGE_BYTES - 1) * PAGE_BYTES);
        }
        free(c->v);
        *c = (struct cold_sources){ 0 };
}

/* Linux 6.5: counts what is cached without a look at each page; EPERM as of mincore, which then says that all is. */
static bool none_cached(int fd, uint64_t first, uint64_t nr_pages)
{
        struct cachestat_range range = { .off = pages_to_bytes(first), .len = pages_to_bytes(nr_pages) };
        struct cachestat       is = { 0 };

        return syscall(NR_CACHESTAT, fd, &range, &is, 0) == 0 && is.nr_cache == 0;
}

/* A cold file is asked about 2 MiB at a time. What somebody brings in meanwhile is read from the device all the same. */
static bool is_within_none(struct cold_source *s, int fd, uint64_t first, uint64_t nr_pages)
{
        uint64_t from = first / LOOK_AROUND_PAGES * LOOK_AROUND_PAGES, end = align_up(first + nr_pages, LOOK_AROUND_PAGES);

        if (first >= s->none_first && first + nr_pages <= s->none_end)
                return true;
        if (!none_cached(fd, from, end - from))
                return false;
        s->none_first = from;
        s->none_end = end;
        return true;
}

uint64_t cold_look(struct cold_sources *c, const struct page_run *run, uint64_t first_page, uint64_t nr_pages, bool *ret_cached)
{
        struct cold_source *s = &c->v[run->source];
        uint64_t            offset = run_offset_bytes(run, first_page), n = MIN(nr_pages, (uint64_t)LOOK_PAGES), same = 1;
        uint8_t             in[LOOK_PAGES];

        *ret_cached = !is_within_none(s, run_fd(c->map, run), bytes_to_pages(offset), nr_pages);
        if (!*ret_cached)
                return nr_pages;
        if (!s->mapping || mincore((uint8_t *)s->mapping + offset, pages_to_bytes(n), in) < 0)
                return n;
        while (same < n && (in[same] & 1) == (in[0] & 1))
                same++;
        *ret_cached = in[0] & 1;
        return same;
}

int cold_direct_fd(const struct cold_sources *c, uint16_t source, uint64_t offset_bytes, uint64_t len_bytes)
{
        const struct cold_source *s = &c->v[source];
        bool                      whole = (offset_bytes | len_bytes) % PAGE_BYTES == 0 && offset_bytes + len_bytes <= s->whole_bytes;

        return whole && !s->refused ? s->direct_fd : -1;
}

void cold_refuse(struct cold_sources *c, uint16_t source)
{
        c->v[source].refused = true;
}
