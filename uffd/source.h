/* uffd/source.h: gets the bytes of pages that are in memory anyway, without ever waiting for a disk.
 * Owns:    what it found out about each source; borrows the page map.
 * Threads: pager thread only, once made.
 * Blocks:  no: what would have to wait is reported as not cached. (tmpfs may wait for swap, where the kernel offers no NOWAIT; on
 *          overlayfs what was cached a moment ago may just have been evicted.) */
#pragma once

#include "core/model/page_map.h"
#include "uffd/pager_faults.h"

struct source_access {
        uint8_t  way;      /* enum source_way */
        void    *mapping;  /* of the file, which is only asked about and never looked at; NULL: the way needs none */
        uint64_t nr_pages; /* of the mapping */
};

struct sources {
        const struct page_map     *map;
        struct source_access      *v; /* per source */
        const struct pager_faults *faults;
        uint32_t                   nr_reads, nr_chances; /* for the countdowns of faults */
};

int  sources_init(struct sources *s, const struct page_map *map, const struct pager_faults *faults); /* 0 or -ENOMEM */
void sources_free(struct sources *s);

/* Reads the bytes of [page, page + nr_pages), which lie in run, as far as they are cached: how many whole pages. 0: the first one
 * is not, or it cannot be read at all: a slow read finds out which. */
uint64_t sources_read_cached(struct sources *s, const struct page_run *run, uint64_t page, uint64_t nr_pages, void *buf);

/* The same for len_bytes of chunks that lie one behind the other from `first` on: how many bytes. */
uint64_t sources_read_cached_chunks(struct sources *s, uint16_t source, const struct chunk_place *first, uint64_t len_bytes,
                                    void *buf);

/* Where the bytes of a page of a raw run are. */
static inline uint64_t run_offset_bytes(const struct page_run *run, uint64_t page)
{
        return run->file_offset_bytes + pages_to_bytes(page - run->first_page);
}

static inline int run_fd(const struct page_map *map, const struct page_run *run)
{
        return map->sources[run->source].fd;
}
