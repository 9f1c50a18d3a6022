/* uffd/cold.h: what is not in the page cache, and how to read it without filling that: a second descriptor with O_DIRECT.
 * Owns:    those descriptors and a mapping of each source, which is only asked about and never looked at; borrows the page map.
 * Threads: one at a time, once made.
 * Blocks:  cold_init opens files; the rest never.
 *
 * Ahead of anybody's asking, pages go past the page cache: that is half of the CPU time, and RAM has them next anyway. What
 * somebody waits for goes through it: the kernel reads ahead there, and the guest's next faults find it. Where a file system
 * refuses O_DIRECT everything does. */
#pragma once

#include "core/model/page_map.h"
#include "uffd/pager_faults.h"

#define COLD_ASK_PAGES 512

struct cold_source {
        int         direct_fd;   /* -1: refused by open(2) */
        bool        refused;     /* refused by a read; the descriptor stays, as reads that were queued name it */
        uint64_t    nr_pages;    /* of the mapping */
        uint64_t    whole_bytes; /* of the file, up to its last whole page */
        void       *mapping;     /* NULL: nobody can be asked */
        bool        is_cold;     /* something of it was not cached */
        uint64_t    asked_first; /* page of the file, of the 2 MiB that was last asked about */
        uint64_t    cached[COLD_ASK_PAGES / 64]; /* of those; what somebody brings in meanwhile is read from the device all the same */
};

struct cold_sources {
        const struct page_map *map;
        struct cold_source    *v;
};

int  cold_init(struct cold_sources *c, const struct page_map *map, const struct pager_faults *faults); /* 0 or -ENOMEM */
void cold_free(struct cold_sources *c);                                                                /* accepts a zeroed one */

/* RWF_NOWAIT starts to read ahead what it does not find, so it is asked only as long as everything was found. */
static inline bool cold_is_known(const struct cold_sources *c, const struct page_run *run)
{
        return c->v[run->source].is_cold;
}

static inline void cold_note(struct cold_sources *c, const struct page_run *run)
{
        c->v[run->source].is_cold = true;
}

/* How many of these neighbours, from the first on, are all cached or all not. Where that cannot be told: all are said to be
 * cached. */
uint64_t cold_look(struct cold_sources *c, const struct page_run *run, uint64_t first_page, uint64_t nr_pages, bool *ret_cached);

/* The descriptor for this read past the page cache, or -1: not aligned, in the last part of a page, or refused. */
int cold_direct_fd(const struct cold_sources *c, uint16_t source, uint64_t offset_bytes, uint64_t len_bytes);
/* It said that it cannot after all. */
void cold_refuse(struct cold_sources *c, uint16_t source);
