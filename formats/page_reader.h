/* formats/page_reader.h: the bytes of RAM pages as a snapshot has them, whatever kind of run they are in: for whoever reads in
 * order and may wait (eager, convert, verify, comparing with a parent). The pager has its own way.
 * Owns:    a buffer of one chunk; page_reader_fini gives it back.
 * Threads: one at a time; a reader each.
 * Blocks:  on the file system. */
#pragma once

#include "core/base/err.h"
#include "core/model/page_map.h"
#include "core/model/page_sums.h"

struct page_reader {
        const struct page_map *map;
        bool                   verify; /* checksums are checked where a run has them; what does not match is -EBADMSG by err_bad */
        struct page_sums       sums;
        uint8_t               *packed, *chunk; /* of PAGE_CHUNK_MAX pages each; NULL in a map without chunks */
        const struct page_chunk *held;  /* whose bytes `chunk` has; NULL: none */
};

/* The map is borrowed. 0 or -ENOMEM. */
int  page_reader_init(struct page_reader *r, const struct page_map *map, bool verify);
void page_reader_fini(struct page_reader *r); /* accepts a zeroed one */

/* Pages [first_page, +nr_pages), which may span runs of every kind, into buf. An error names the source, the offset, what was
 * expected and found. A file that ends early or cannot be read is ERR_SNAPSHOT. */
int page_reader_read(struct page_reader *r, uint64_t first_page, uint64_t nr_pages, void *buf, struct err *e);
