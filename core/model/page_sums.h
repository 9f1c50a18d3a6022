/* core/model/page_sums.h: checksums of raw pages, read a few hundred at a time where the map has them in a file: without a SIGBUS
 * when that is cut, and without memory for all of them.
 * Owns:    its window; borrows the map.
 * Threads: one at a time; a reader each.
 * Blocks:  on the file, when the page cache has given up what was read when the snapshot was opened. */
#pragma once

#include "core/model/page_map.h"

#define PAGE_SUMS_WINDOW 256 /* 2 KiB: one pread(2) of 0.6 us serves a batch of 1 MiB */

struct page_sums {
        const struct page_map *map;
        uint64_t               first, nr; /* in the window */
        uint64_t               v[PAGE_SUMS_WINDOW];
};

/* Reads nothing yet. */
void page_sums_init(struct page_sums *s, const struct page_map *map);

/* Of page `skip` of a run that has sums (run_sums). False: it cannot be had, and the page not be trusted. */
bool page_sums_get(struct page_sums *s, const struct page_run *run, uint64_t skip, uint64_t *ret);

/* Those of pages `skip` and the nr - 1 behind it, which the run has. 0; -EBADMSG: the file that has them was cut meanwhile; or
 * another -errno of reading it. */
int page_sums_copy(struct page_sums *s, const struct page_run *run, uint64_t skip, uint64_t nr, uint64_t *ret);
