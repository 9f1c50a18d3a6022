/* uffd/packed.h: chunks of packed runs: their bytes are got, unpacked, checked whole, and only then installed.
 * Owns:    struct packed its buffers; they are there only where the map has chunks.
 * Threads: pager thread only, but packed_unpack: any.
 * Blocks:  never.
 *
 *   file    |chunk 7 |chunk 8|  chunk 9  |...     one read for neighbours
 *               │        │         │               unpack and XXH3-64, straight into the batch
 *   batch   |################|################|################|
 *               who asked first, then what is still open around it, in one UFFDIO_COPY a neighbourhood */
#pragma once

#include "core/model/ledger.h"
#include "core/model/page_map.h"
#include "uffd/replay.h"

#include <sys/types.h>

struct pager;
struct slow_read;

/* Packed bytes of one batch: as long as the batch, so that chunks that did not get smaller fit too. */
#define PACKED_BATCH_PAGES 256

struct packed {
        uint8_t                 *raw;   /* packed bytes, PACKED_BATCH_PAGES or a chunk */
        uint8_t                 *pages; /* of one chunk, unpacked */
        const struct page_chunk *held;  /* whose pages those are; NULL: nobody's */
};

int  packed_init(struct packed *k, const struct page_map *map); /* 0 or -ENOMEM */
void packed_free(struct packed *k);                             /* accepts a zeroed one */

/* Unpacks the chunk whose packed bytes these are to `to`, all its pages, and checks them there. 0, or -EBADMSG: then `to` holds
 * anything. */
int packed_unpack(const struct page_map *map, const struct page_chunk *c, const void *bytes, bool verify, void *to);

/* A fault waits for this page, and its chunk is cached: true. It is then installed with its chunk, or lost. */
bool packed_answer(struct pager *p, const struct page_run *run, uint64_t page);

/* What is cached of this extent, or the first part of it: how many pages were dealt with (0: the first chunk is not cached). */
uint64_t packed_bring(struct pager *p, const struct extent *x, enum fault_class why);

/* Unpacks pages [page, +max_pages) of a run, or the first of them, to `to`, checked. How many; 0: the first one's chunk is not
 * cached, or bad. */
uint64_t packed_unpack_to(struct pager *p, const struct page_run *run, uint64_t page, uint64_t max_pages, uint8_t *to);

/* --- for slow.c, of a read of chunks --- */

/* Sets what s, which has its run, is to read: the chunks of x, from that of its first page on, as many as lie one behind the
 * other in max_bytes of the file, but the first one in any case. Its pages are then all of theirs, or those of x where nothing
 * else may come. */
void     packed_slow_begin(const struct pager *p, struct slow_read *s, const struct extent *x, uint64_t max_bytes);
uint64_t packed_slow_offset_bytes(const struct pager *p, const struct slow_read *s);
uint64_t packed_slow_len_bytes(const struct pager *p, const struct slow_read *s);
/* Bytes have come: every whole chunk is installed or lost, what is left of the next one moves to the front of buf. */
void packed_slow_take(struct pager *p, struct slow_read *s, uint8_t *buf, uint64_t bytes);
/* How many pages of s its first chunk has. */
uint64_t packed_slow_first_pages(const struct pager *p, const struct slow_read *s);
/* What is left of a read's result when its page good_pages has a bad sector, for a test. */
ssize_t packed_slow_clip(const struct pager *p, const struct slow_read *s, uint64_t good_pages, ssize_t result);
