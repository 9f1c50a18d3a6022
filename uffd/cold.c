/* uffd/cold.c: cachestat(2), mincore(2) over a mapping, and /proc/self/fd to open a file once more. */
#include "uffd/cold.h"

#include "core/base/units.h"
#include "uffd/source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define NR_CACHESTAT 451 /* Debian 12's headers do not have it */

struct cachestat_range {
        uint64_t off, len;
};

struct cachestat {
        uint64_t nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted;
};

/* FUSE reads past the page cache where it is asked to, also when asked not to wait (seen with Linux 6.18): the loop would stand
 * still with a server that does not answer. */
static bool waits_where_asked(int fd)
{
        struct statfs fs;

        return fstatfs(fd, &fs) < 0 || fs.f_type == FUSE_SUPER_MAGIC;
}

/* Offsets of pages in a source are multiples of PAGE_BYTES (page_map.h), which is more than any block device asks for. A file
 * system that asks for more answers -EINVAL, and is not asked again. Without O_NONBLOCK, which io_uring takes at its word; it is
 * known to be a regular file. */
static int open_direct(int fd)
{
        char path[32];

        if (waits_where_asked(fd))
                return -1;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
}

static void open_source(struct cold_source *s, const struct page_source *src, const struct pager_faults *faults)
{
        uint64_t pages = bytes_to_pages(src->size_bytes + PAGE_BYTES - 1);
        void    *m = pages ? mmap(NULL, pages_to_bytes(pages), PROT_READ, MAP_SHARED | MAP_NORESERVE, src->fd, 0) : MAP_FAILED;

        *s = (struct cold_source){
                .nr_pages    = pages,
                .asked_first = UINT64_MAX,
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
                        munmap(c->v[i].mapping, pages_to_bytes(c->v[i].nr_pages));
        }
        free(c->v);
        *c = (struct cold_sources){ 0 };
}

/* Linux 6.5: counts what is cached without a look at each page. */
static bool none_cached(int fd, uint64_t first_page)
{
        struct cachestat_range range = { .off = pages_to_bytes(first_page), .len = pages_to_bytes(COLD_ASK_PAGES) };
        struct cachestat       is = { 0 };

        return syscall(NR_CACHESTAT, fd, &range, &is, 0) == 0 && is.nr_cache == 0;
}

/* Of somebody else's file, which may not be asked about, mincore says that all is cached: then the read finds out. */
static void ask(struct cold_source *s, int fd, uint64_t first_page)
{
        uint8_t  in[COLD_ASK_PAGES];
        uint64_t n = MIN((uint64_t)COLD_ASK_PAGES, s->nr_pages - first_page);

        s->asked_first = first_page;
        memset(s->cached, 0, sizeof(s->cached));
        if (none_cached(fd, first_page))
                return;
        if (!s->mapping || mincore((uint8_t *)s->mapping + pages_to_bytes(first_page), pages_to_bytes(n), in) < 0)
                memset(in, 1, sizeof(in));
        for (uint64_t i = 0; i < n; i++)
                s->cached[i / 64] |= (uint64_t)(in[i] & 1) << i % 64;
}

static bool is_cached(struct cold_source *s, int fd, uint64_t page)
{
        uint64_t first = page / COLD_ASK_PAGES * COLD_ASK_PAGES;

        if (s->asked_first != first)
                ask(s, fd, first);
        return s->cached[(page - first) / 64] >> page % 64 & 1;
}

uint64_t cold_look(struct cold_sources *c, const struct page_run *run, uint64_t first_page, uint64_t nr_pages, bool *ret_cached)
{
        struct cold_source *s = &c->v[run->source];
        int                 fd = run_fd(c->map, run);
        uint64_t            page = bytes_to_pages(run_offset_bytes(run, first_page)), same = 1;

        *ret_cached = is_cached(s, fd, page);
        while (same < nr_pages && is_cached(s, fd, page + same) == *ret_cached)
                same++;
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
