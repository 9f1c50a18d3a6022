/* uffd/source.c: preadv2 with RWF_NOWAIT where the file system has it. */
#include "uffd/source.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

enum source_way {
        SOURCE_NOWAIT, /* the kernel tells what is cached */
        SOURCE_MEMORY, /* tmpfs, ramfs: always there, no NOWAIT needed (nor known, before Linux 6.6) */
        SOURCE_SLOW,   /* the kernel cannot tell: every read may wait */
};

/* Asks behind the end: a question about a page that is not cached would start to read ahead, and up to 8 MiB of it. */
static enum source_way find_way(int fd, uint64_t size_bytes)
{
        struct iovec  iov = { .iov_base = &(uint8_t){ 0 }, .iov_len = 1 };
        struct statfs fs;

        if (preadv2(fd, &iov, 1, (off_t)size_bytes, RWF_NOWAIT) >= 0 || errno == EAGAIN)
                return SOURCE_NOWAIT;
        if (errno == EOPNOTSUPP && fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC))
                return SOURCE_MEMORY;
        return SOURCE_SLOW;
}

int sources_init(struct sources *s, const struct page_map *map, const struct pager_faults *faults)
{
        uint8_t *ways = calloc(map->nr_sources + 1, sizeof(*ways));

        if (!ways)
                return -ENOMEM;
        for (size_t i = 0; i < map->nr_sources; i++)
                ways[i] = faults && faults->nothing_cached ? SOURCE_SLOW : find_way(map->sources[i].fd, map->sources[i].size_bytes);
        *s = (struct sources){ .map = map, .ways = ways, .faults = faults };
        return 0;
}

void sources_free(struct sources *s)
{
        free(s->ways);
        s->ways = NULL;
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
        struct iovec iov = { .iov_base = buf, .iov_len = pages_to_bytes(nr_pages) };
        uint8_t      way = s->ways[run->source];
        ssize_t      n;

        if (way == SOURCE_SLOW)
                return 0;
        n = preadv2(run_fd(s->map, run), &iov, 1, (off_t)run_offset_bytes(run, page), way == SOURCE_NOWAIT ? RWF_NOWAIT : 0);
        if (n <= 0)
                return 0;
        if (s->faults && s->faults->short_read && ++s->nr_reads == s->faults->short_read)
                n /= 2;
        return s->faults ? spoil(s, page, bytes_to_pages((uint64_t)n)) : bytes_to_pages((uint64_t)n);
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

uint64_t sources_read_cached_chunks(struct sources *s, uint16_t source, const struct chunk_place *first, uint64_t len_bytes, void *buf)
{
        struct iovec iov = { .iov_base = buf, .iov_len = len_bytes };
        uint8_t      way = s->ways[source];
        ssize_t      n;

        if (way == SOURCE_SLOW)
                return 0;
        n = preadv2(s->map->sources[source].fd, &iov, 1, (off_t)first->chunk->file_offset_bytes, way == SOURCE_NOWAIT ? RWF_NOWAIT : 0);
        if (n <= 0)
                return 0;
        if (s->faults && s->faults->short_read && ++s->nr_reads == s->faults->short_read)
                n /= 2;
        return s->faults ? spoil_chunks(s, first, (uint64_t)n) : (uint64_t)n;
}
