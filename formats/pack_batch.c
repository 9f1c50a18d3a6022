/* formats/pack_batch.c: the chunks of a batch are taken one by one by whoever is free. */
#include "formats/pack_batch.h"

#include "core/base/thread.h"
#include "core/base/units.h"
#include "formats/codec/lz4.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <xxhash.h>

#define HELPERS_MAX 15

struct source {
        const void *bytes;
        size_t      len_bytes;
};

struct helper {
        struct pack_batch *b;
        struct lz4_packer *packer;
        pthread_t          thread;
};

struct pack_batch {
        /* set when it is made */
        size_t             chunk_bytes;
        uint8_t           *room; /* PACK_BATCH_MAX times chunk_bytes */
        struct lz4_packer *packer; /* the caller's */
        uint32_t           nr_helpers;
        struct helper      helpers[HELPERS_MAX];

        /* the caller's between batches; read by all while one is under way */
        size_t              nr;
        struct source       sources[PACK_BATCH_MAX];
        struct packed_chunk packed[PACK_BATCH_MAX]; /* each written by whoever took its number */

        atomic_size_t next; /* relaxed: a number is taken once; the lock orders all else */

        /* under lock */
        pthread_mutex_t lock;
        pthread_cond_t  wake, idle;
        uint64_t        batch; /* how many were begun */
        uint32_t        nr_busy;
        bool            open; /* whoever wakes up may take part */
        bool            end;
};

static void pack_one(struct pack_batch *b, struct lz4_packer *packer, size_t i)
{
        const struct source *s = &b->sources[i];
        uint8_t             *dst = b->room + i * b->chunk_bytes;
        size_t               len = lz4_pack(packer, dst, s->len_bytes - 1, s->bytes, s->len_bytes);

        b->packed[i] = (struct packed_chunk){
                .bytes     = len ? dst : s->bytes,
                .len_bytes = len ? len : s->len_bytes,
                .sum       = XXH3_64bits(s->bytes, s->len_bytes),
        };
}

static void pack_some(struct pack_batch *b, struct lz4_packer *packer)
{
        size_t i;

        while ((i = atomic_fetch_add_explicit(&b->next, 1, memory_order_relaxed)) < b->nr)
                pack_one(b, packer, i);
}

static void *help(void *arg)
{
        struct helper     *h = arg;
        struct pack_batch *b = h->b;
        uint64_t           seen = 0;

        pthread_mutex_lock(&b->lock);
        while (!b->end) {
                if (!b->open || b->batch == seen) {
                        pthread_cond_wait(&b->wake, &b->lock);
                        continue;
                }
                seen = b->batch;
                b->nr_busy++;
                pthread_mutex_unlock(&b->lock);
                pack_some(b, h->packer);
                pthread_mutex_lock(&b->lock);
                if (--b->nr_busy == 0)
                        pthread_cond_signal(&b->idle);
        }
        pthread_mutex_unlock(&b->lock);
        return NULL;
}

static bool add_helper(struct pack_batch *b, int level)
{
        struct helper *h = &b->helpers[b->nr_helpers];

        *h = (struct helper){ .b = b };
        if (lz4_packer_new(level, &h->packer) < 0)
                return false;
        if (thread_start(&h->thread, help, h) < 0) {
                lz4_packer_free(h->packer);
                return false;
        }
        b->nr_helpers++;
        return true;
}

int pack_batch_new(int level, size_t chunk_bytes, uint32_t nr_threads, struct pack_batch **ret)
{
        struct pack_batch *b = calloc(1, sizeof(*b));

        if (!b)
                return -ENOMEM;
        b->chunk_bytes = chunk_bytes;
        pthread_mutex_init(&b->lock, NULL);
        pthread_cond_init(&b->wake, NULL);
        pthread_cond_init(&b->idle, NULL);
        b->room = malloc(PACK_BATCH_MAX * chunk_bytes);
        if (!b->room || lz4_packer_new(level, &b->packer) < 0) {
                pack_batch_free(b);
                return -ENOMEM;
        }
        while (b->nr_helpers + 1 < nr_threads && b->nr_helpers < HELPERS_MAX && add_helper(b, level))
                ;
        *ret = b;
        return 0;
}

void pack_batch_free(struct pack_batch *b)
{
        if (!b)
                return;
        pthread_mutex_lock(&b->lock);
        b->end = true;
        pthread_cond_broadcast(&b->wake);
        pthread_mutex_unlock(&b->lock);
        for (uint32_t i = 0; i < b->nr_helpers; i++) {
                pthread_join(b->helpers[i].thread, NULL);
                lz4_packer_free(b->helpers[i].packer);
        }
        pthread_cond_destroy(&b->idle);
        pthread_cond_destroy(&b->wake);
        pthread_mutex_destroy(&b->lock);
        lz4_packer_free(b->packer);
        free(b->room);
        free(b);
}

size_t pack_batch_add(struct pack_batch *b, const void *src, size_t src_bytes)
{
        b->sources[b->nr++] = (struct source){ src, src_bytes };
        return b->nr;
}

/* A helper that is slow to wake up finds nothing left, or the batch closed: then the caller may add to the next one already. */
size_t pack_batch_run(struct pack_batch *b, const struct packed_chunk **ret)
{
        size_t nr = b->nr;

        pthread_mutex_lock(&b->lock);
        atomic_store_explicit(&b->next, 0, memory_order_relaxed);
        b->batch++;
        b->open = true;
        if (nr > 1)
                pthread_cond_broadcast(&b->wake);
        pthread_mutex_unlock(&b->lock);
        pack_some(b, b->packer);
        pthread_mutex_lock(&b->lock);
        while (b->nr_busy > 0)
                pthread_cond_wait(&b->idle, &b->lock);
        b->open = false;
        b->nr = 0;
        pthread_mutex_unlock(&b->lock);
        *ret = b->packed;
        return nr;
}
