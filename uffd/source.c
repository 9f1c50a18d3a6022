/* uffd/source.c: preadv2 with RWF_NOWAIT where the file system has it, else where the kernel tells of itself what is cached. */
#include "uffd/source.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A read of a batch, or of the longest chunk, and the page that it begins within. */
#define ASK_PAGES_MAX (PAGE_CHUNK_MAX + 1)

enum source_way {
        SOURCE_NOWAIT, /* the kernel tells what is cached */
        SOURCE_MEMORY, /* tmpfs, ramfs: always there, no NOWAIT needed (nor known, before Linux 6.6) */
        SOURCE_ASKED,  /* overlayfs, as containers have it, knows no NOWAIT: mincore(2) is asked before each read */
        SOURCE_SLOW,   /* the kernel cannot tell: every read may wait */
};

/* Asks behind the end: a question about a page that is not cached would start to read ahead, and up to 8 MiB of it. */
static enum source_way find_way(int fd, uint64_t size_bytes)
{
        struct iovec  iov = { .iov_base = &(uint8_t){ 0 }, .iov_len = 1 };
        struct statfs fs;

        if (preadv2(fd, &iov, 1, (off_t)size_bytes, RWF_NOWAIT) >= 0 || errno == EAGAIN)
                return SOURCE_NOWAIT;
        if (errno != EOPNOTSUPP || fstatfs(fd, &fs) < 0)
                return SOURCE_SLOW;
        if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
                return SOURCE_MEMORY;
        return fs.f_type == OVERLAYFS_SUPER_MAGIC ? SOURCE_ASKED : SOURCE_SLOW;
}

/* Of somebody else's file mincore says that all is cached (can_do_mincore, mm/mincore.c): a read would wait. */
static bool may_ask(int fd)
{
        struct stat st;

        return fstat(fd, &st) == 0 && st.st_uid == geteuid();
}

static void open_access(struct source_access *a, const struct page_source *src, const struct pager_faults *faults)
{
        void *m;

        a->way = faults && faults->nothing_cached ? SOURCE_SLOW : faults && faults->no_nowait ? SOURCE_ASKED : find_way(src->fd, src->size_bytes);
        if (a->way != SOURCE_ASKED)
                return;
        a->nr_pages = bytes_to_pages(src->size_bytes + PAGE_BYTES - 1);
        m = a->nr_pages && may_ask(src->fd) ? mmap(NULL, pages_to_bytes(a->nr_pages), PROT_READ, MAP_SHARED | MAP_NORESERVE, src->fd, 0) : MAP_FAILED;
        if (m == MAP_FAILED)
                a->way = SOURCE_SLOW;
        else
                a->mapping = m;
}

int sources_init(struct sources *s, const struct page_map *map, const struct pager_faults *faults)
{
        struct source_access *v = calloc(map->nr_sources + 1, sizeof(*v));

        if (!v)
                return -ENOMEM;
        for (size_t i = 0; i < map->nr_sources; i++)
                open_access(&v[i], &map->sources[i], faults);
        *s = (struct sources){ .map = map, .v = v, .faults = faults };
        return 0;
}

void sources_free(struct sources *s)
{
        for (size_t i = 0; s->v && i < s->map->nr_sources; i++)
                if (s->v[i].mapping)
                        munmap(s->v[i].mapping, pages_to_bytes(s->v[i].nr_pages));
        free(s->v);
        s->v = NULL;
}

/* How many of these bytes are cached, from the first on. */
static uint64_t ask(const struct source_access *a, uint64_t offset_bytes, uint64_t len_bytes)
{
        uint8_t  in[ASK_PAGES_MAX];
        uint64_t first = bytes_to_pages(offset_bytes), end = bytes_to_pages(offset_bytes + len_bytes + PAGE_BYTES - 1), nr = 0;

        end = MIN(MIN(end, a->nr_pages), first + ASK_PAGES_MAX);
        if (first >= end || mincore((uint8_t *)a->mapping + pages_to_bytes(first), pages_to_bytes(end - first), in) < 0)
                return 0;
        while (nr < end - first && in[nr] & 1)
                nr++;
        return nr ? MIN(len_bytes, pages_to_bytes(first + nr) - offset_bytes) : 0;
}

/* Bytes, as far as they can be had without waiting; 0: none. */
static uint64_t read_now(const struct sources *s, uint16_t source, uint64_t offset_bytes, uint64_t len_bytes, void *buf)
{
        const struct source_access *a = &s->v[source];
        struct iovec                iov = { .iov_base = buf, .iov_len = len_bytes };
        ssize_t                     n;

        if (a->way == SOURCE_ASKED)
                iov.iov_len = ask(a, offset_bytes, len_bytes);
        if (a->way == SOURCE_SLOW || iov.iov_len == 0)
                return 0;
        n = preadv2(s->map->sources[source].fd, &iov, 1, (off_t)offset_bytes, a->way == SOURCE_NOWAIT ? RWF_NOWAIT : 0);
        return n < 0 ? 0 : (uint64_t)n;
}

/* What a test makes of bytes that were cached. */
static uint64_t spoil(struct sources *s, uint64_t page, uint64_t nr_pages)
{
        s->nr_chances++;
        if (pager_fault_hits(s->faults, CHANCE_NOT_CACHED, s->nr_chances))
                return 0;
        if (pager_fault_hits(s->faults, CHANCE_SHORT_READ, s->nr_chances))
                nr_pages /= 2;
        return pager_fault_clip(s->faults, CHANCE_EIO, page, nr_pages); /* a bad sector is not cached */
}

uint64_t sources_read_cached(struct sources *s, const struct page_run *run, uint64_t page, uint64_t nr_pages, void *buf)
{
        uint64_t n = read_now(s, run->source, run_offset_bytes(run, page), pages_to_bytes(nr_pages), buf);

        if (n == 0)
                return 0;
        if (s->faults && s->faults->short_read && ++s->nr_reads == s->faults->short_read)
                n /= 2;
        return s->faults ? spoil(s, page, bytes_to_pages(n)) : bytes_to_pages(n);
}

/* Bytes before the first chunk with a bad sector. */
static uint64_t clip_chunks(const struct sources *s, const struct chunk_place *first, uint64_t bytes)
{
        const struct page_chunk *c = first->chunk;
        uint64_t                 page = first->first_page, good = 0;

        for (; good < bytes && pager_fault_clip(s->faults, CHANCE_EIO, page, c->nr_pages) == c->nr_pages; c++) {
                good += c->packed_bytes;
                page += c->nr_pages;
        }
        return MIN(good, bytes);
}

static uint64_t spoil_chunks(struct sources *s, const struct chunk_place *first, uint64_t bytes)
{
        s->nr_chances++;
        if (pager_fault_hits(s->faults, CHANCE_NOT_CACHED, s->nr_chances))
                return 0;
        if (pager_fault_hits(s->faults, CHANCE_SHORT_READ, s->nr_chances))
                bytes /= 2;
        return clip_chunks(s, first, bytes);
}

uint64_t sources_read_cached_chunks(struct sources *s, uint16_t source, const struct chunk_place *first, uint64_t len_bytes,
                                    void *buf)
{
        uint64_t n = read_now(s, source, first->chunk->file_offset_bytes, len_bytes, buf);

        if (n == 0)
                return 0;
        if (s->faults && s->faults->short_read && ++s->nr_reads == s->faults->short_read)
                n /= 2;
        return s->faults ? spoil_chunks(s, first, n) : n;
}
