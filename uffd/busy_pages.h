/* uffd/busy_pages.h: the few pages that somebody waits for or reads just now, each with a few bits; a bounded hash table.
 * Owns:    its slots, all there from the start: a page fault of the pager's own is one more wait for whoever faults.
 * Threads: pager thread only.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More than all faults that can wait (DEMAND_MAX) and all pages that reads are under way for: READ_SLOTS of 64 pages, and two
 * granules. Whoever wants to begin one asks for room first. The slots are half full at most, 128 KiB; a small RAM has a small
 * table. */
#define BUSY_PAGES_MAX 8192

struct busy_pages {
        uint64_t *slots;      /* page << 8 | bits; 0: free, as no page is kept without a bit */
        size_t    nr, nr_max; /* pages, of which there is room for nr_max */
        uint64_t  mask;       /* slots - 1, a power of two */
};

int  busy_pages_init(struct busy_pages *b, uint64_t nr_pages); /* of RAM; 0 or -ENOMEM */
void busy_pages_free(struct busy_pages *b);                    /* accepts a zeroed one */

/* All its slots, at once: as many will be used, and a fault on each page of them costs more. */
void busy_pages_populate(struct busy_pages *b);

uint8_t busy_pages_get(const struct busy_pages *b, uint64_t page); /* 0: not there */
/* bits 0 takes the page out. False: no room for one that was not there. */
bool busy_pages_set(struct busy_pages *b, uint64_t page, uint8_t bits);
