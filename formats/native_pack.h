/* formats/native_pack.h: the pages of a packed `memory`: runs of data cut into chunks, packed by several threads, written back to
 * back.
 * Owns:    its threads and buffers; borrows the file and the page map, which it adds runs and chunks to.
 * Threads: one at a time.
 * Blocks:  on the file system.
 *
 *   pages of a call    |########### data ############|00|#### data ####|      next call |### ...
 *   chunks             |chunk 0|chunk 1|chunk 2| (3)  |  |chunk 4|  5 (copied, goes on there) |
 *
 * A chunk never crosses zeros, so only the last one of a run is smaller than the others. */
#pragma once

#include "core/model/page_map.h"

/* 32 KiB. A fault waits for the whole chunk to be read, unpacked and checked; a longer one packs hardly better. Measured on the
 * host of restore-costs.md, medians, warm, with memory of a Python process (22 % of its size is left) and with shared libraries
 * (50 %):
 *
 *   KiB                                     16     32     64    128    256
 *   packed size, Python / libraries, %   22.5/53 22.1/51.5 21.8/50.4 21.8/50.9 21.7/50.6
 *   until who waits has his page, us     10/14  17/29  30/44  59/82 135/187
 *   the whole chunk, us a page            3.9   3.4    3.3   3.7   4.1
 *
 * 16 KiB would be a little faster to the first page, for twice as many numbers in memory: 24 bytes a chunk. */
#define NATIVE_CHUNK_PAGES 8

struct native_pack;

struct native_pack_options {
        int              fd; /* of an empty file */
        struct page_map *map;
        int              level;
        uint32_t         chunk_pages; /* 0: NATIVE_CHUNK_PAGES */
};

int  native_pack_new(const struct native_pack_options *o, struct native_pack **ret); /* 0 or -ENOMEM */
void native_pack_free(struct native_pack *p);                                        /* accepts NULL */

/* Pages of data, that go on where the last ones ended or begin a run. The bytes must stay until native_pack_settle. 0 or -errno
 * of the file. */
int native_pack_add(struct native_pack *p, uint64_t first_page, const uint8_t *bytes, uint64_t nr_pages);
/* The run ends here: zeros follow, or nothing. */
int native_pack_end_run(struct native_pack *p);
/* Writes what was added; the rest, less than a chunk, is copied. */
int native_pack_settle(struct native_pack *p);
