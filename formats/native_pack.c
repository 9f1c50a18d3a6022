/* formats/native_pack.c: chunks are taken from where the caller has the pages; only what a call leaves of a chunk is copied. */
#include "formats/native_pack.h"

#include "core/base/fdio.h"
#include "formats/pack_batch.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 4 /* the file system takes about as much as three make of it */

/* A part of a chunk that waits for its rest. */
struct rest {
        const uint8_t *bytes;
        uint64_t       nr_pages;
};

struct native_pack {
        int                fd;
        struct page_map   *map;
        uint32_t           chunk_pages;
        struct pack_batch *batch;
        uint64_t           file_bytes;                   /* written */
        size_t             cap_chunks, nr_added;         /* chunks: in all, with those of the batch */
        uint16_t           batch_pages[PACK_BATCH_MAX];  /* of each chunk of the batch */
        struct page_run    run;                          /* under way; nr_pages 0: none */
        struct rest        rest;
        uint8_t           *copy; /* where a rest is kept between calls */
};

static uint32_t nr_cpus(void)
{
        cpu_set_t set;

        return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : (uint32_t)CPU_COUNT(&set);
}

int native_pack_new(const struct native_pack_options *o, struct native_pack **ret)
{
        struct native_pack *p = calloc(1, sizeof(*p));
        size_t              chunk_bytes;

        if (!p)
                return -ENOMEM;
        p->fd = o->fd;
        p->map = o->map;
        p->chunk_pages = o->chunk_pages ? o->chunk_pages : NATIVE_CHUNK_PAGES;
        chunk_bytes = pages_to_bytes(p->chunk_pages);
        p->copy = malloc(chunk_bytes);
        if (!p->copy || pack_batch_new(o->level, chunk_bytes, MIN(nr_cpus(), (uint32_t)THREADS_MAX), &p->batch) < 0) {
                native_pack_free(p);
                return -ENOMEM;
        }
        *ret = p;
        return 0;
}

void native_pack_free(struct native_pack *p)
{
        if (!p)
                return;
        pack_batch_free(p->batch);
        free(p->copy);
        free(p);
}

/* --- batches to the file and the chunk table --- */

static int make_room(struct native_pack *p, size_t nr)
{
        struct page_map   *m = p->map;
        size_t             cap = MAX(p->cap_chunks * 2, m->nr_chunks + nr);
        struct page_chunk *grown;

        if (p->cap_chunks - m->nr_chunks >= nr)
                return 0;
        grown = reallocarray(m->chunks, cap, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        m->chunks = grown;
        p->cap_chunks = cap;
        return 0;
}

static void note_chunk(struct native_pack *p, const struct packed_chunk *c, uint16_t nr_pages)
{
        p->map->chunks[p->map->nr_chunks++] = (struct page_chunk){
                .file_offset_bytes = p->file_bytes,
                .packed_bytes      = (uint32_t)c->len_bytes,
                .nr_pages          = nr_pages,
                .sum               = c->sum,
        };
        p->file_bytes += c->len_bytes;
}

static int write_batch(struct native_pack *p)
{
        const struct packed_chunk *c;
        struct iovec               v[PACK_BATCH_MAX];
        size_t                     nr = pack_batch_run(p->batch, &c);
        int                        r = make_room(p, nr);

        for (size_t i = 0; i < nr; i++)
                v[i] = (struct iovec){ (void *)(uintptr_t)c[i].bytes, c[i].len_bytes };
        r = r < 0 || nr == 0 ? r : fd_pwritev_full(p->fd, v, nr, p->file_bytes);
        for (size_t i = 0; r >= 0 && i < nr; i++)
                note_chunk(p, &c[i], p->batch_pages[i]);
        return r;
}

static int add_chunk(struct native_pack *p, const uint8_t *bytes, uint64_t nr_pages)
{
        size_t nr = pack_batch_add(p->batch, bytes, pages_to_bytes(nr_pages));

        p->batch_pages[nr - 1] = (uint16_t)nr_pages;
        p->nr_added++;
        return nr == PACK_BATCH_MAX ? write_batch(p) : 0;
}

/* --- pages to chunks --- */

/* Fills what the last call left; how many pages that took. */
static uint64_t fill_rest(struct native_pack *p, const uint8_t *bytes, uint64_t nr_pages)
{
        uint64_t nr = p->rest.nr_pages ? MIN(nr_pages, p->chunk_pages - p->rest.nr_pages) : 0;

        if (nr == 0)
                return 0;
        memcpy(p->copy + pages_to_bytes(p->rest.nr_pages), bytes, pages_to_bytes(nr));
        p->rest.nr_pages += nr;
        return nr;
}

static int add_rest(struct native_pack *p)
{
        struct rest rest = p->rest;

        p->rest = (struct rest){ 0 };
        return rest.nr_pages ? add_chunk(p, rest.bytes, rest.nr_pages) : 0;
}

int native_pack_settle(struct native_pack *p)
{
        int r = write_batch(p);

        if (r >= 0 && p->rest.nr_pages && p->rest.bytes != p->copy) {
                memcpy(p->copy, p->rest.bytes, pages_to_bytes(p->rest.nr_pages));
                p->rest.bytes = p->copy;
        }
        return r;
}

int native_pack_add(struct native_pack *p, uint64_t first_page, const uint8_t *bytes, uint64_t nr_pages)
{
        int      r = p->rest.nr_pages && p->rest.bytes != p->copy ? native_pack_settle(p) : 0;
        uint64_t done = r < 0 ? 0 : fill_rest(p, bytes, nr_pages);

        if (!p->run.nr_pages)
                p->run = (struct page_run){ .first_page = first_page, .kind = RUN_PACKED, .first_chunk = (uint32_t)p->nr_added };
        p->run.nr_pages += (uint32_t)nr_pages;
        if (r >= 0 && p->rest.nr_pages == p->chunk_pages)
                r = add_rest(p);
        for (; r >= 0 && nr_pages - done >= p->chunk_pages; done += p->chunk_pages)
                r = add_chunk(p, bytes + pages_to_bytes(done), p->chunk_pages);
        if (r >= 0 && done < nr_pages)
                p->rest = (struct rest){ bytes + pages_to_bytes(done), nr_pages - done };
        return r;
}

int native_pack_end_run(struct native_pack *p)
{
        int r = add_rest(p);

        if (r >= 0 && p->run.nr_pages)
                r = page_map_append(p->map, &p->run);
        p->run.nr_pages = 0;
        return r;
}
