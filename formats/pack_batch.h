/* formats/pack_batch.h: packs and sums many chunks at once, on several threads: a guest is stopped while its pages are packed.
 * Owns:    its threads and a buffer for each chunk of a batch; pack_batch_free ends them.
 * Threads: one caller; its own ones sleep between batches.
 * Blocks:  pack_batch_run until the batch is packed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* 64 chunks of 32 KiB are 2 MiB: some 1 ms of work for two threads, that wake up in 50 us. */
#define PACK_BATCH_MAX 64

struct pack_batch;

struct packed_chunk {
        const void *bytes;     /* what goes into the file: the packed bytes, or those that were given */
        size_t      len_bytes; /* as many as were given: packing did not make it smaller */
        uint64_t    sum;       /* XXH3-64 of the bytes that were given */
};

/* chunk_bytes: the most that one chunk has. nr_threads: with the caller. 0, -ENOMEM; fewer threads than asked for is no error. */
int  pack_batch_new(int level, size_t chunk_bytes, uint32_t nr_threads, struct pack_batch **ret);
void pack_batch_free(struct pack_batch *b); /* accepts NULL */

/* src must stay until pack_batch_run. How many there are now, PACK_BATCH_MAX: full, it must be run. */
size_t pack_batch_add(struct pack_batch *b, const void *src, size_t src_bytes);

/* Packs all that was added; *ret: one each, in order, valid until the next pack_batch_add. The batch is then empty. */
size_t pack_batch_run(struct pack_batch *b, const struct packed_chunk **ret);
