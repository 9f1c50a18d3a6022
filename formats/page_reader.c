/* formats/page_reader.c: run by run, and in a packed run chunk by chunk. */
#include "formats/page_reader.h"

#include "core/base/fdio.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define WHAT_TO_DO "; the file was changed or damaged, use another copy of the snapshot"

int page_reader_init(struct page_reader *r, const struct page_map *map, bool verify)
{
        *r = (struct page_reader){ .map = map, .verify = verify };
        page_sums_init(&r->sums, map);
        if (!map->nr_chunks)
                return 0;
        r->packed = malloc(pages_to_bytes(PAGE_CHUNK_MAX));
        r->chunk = malloc(pages_to_bytes(PAGE_CHUNK_MAX));
        if (r->packed && r->chunk)
                return 0;
        page_reader_fini(r);
        return -ENOMEM;
}

void page_reader_fini(struct page_reader *r)
{
        free(r->packed);
        free(r->chunk);
        *r = (struct page_reader){ 0 };
}

static int read_bytes(const struct page_source *src, uint64_t offset_bytes, uint64_t len_bytes, void *buf, struct err *e)
{
        ssize_t n = fd_pread_full(src->fd, buf, len_bytes, offset_bytes);

        if (n < 0)
                return err_bad(e, src->name, offset_bytes, "expected %" PRIu64 " bytes, found that they cannot be read (%s)" WHAT_TO_DO, len_bytes,
                               strerror((int)-n));
        if ((uint64_t)n < len_bytes)
                return err_bad(e, src->name, offset_bytes + (uint64_t)n, "expected %" PRIu64 " more bytes, found the end of the file" WHAT_TO_DO,
                               len_bytes - (uint64_t)n);
        return 0;
}

static int read_raw(struct page_reader *r, const struct page_run *run, uint64_t page, uint64_t nr_pages, uint8_t *buf,
                    struct err *e)
{
        const struct page_source *src = &r->map->sources[run->source];
        bool                      checked = r->verify && run_sums(r->map, run);
        uint64_t                  skip = page - run->first_page, offset = run->file_offset_bytes + pages_to_bytes(skip);
        int                       k = read_bytes(src, offset, pages_to_bytes(nr_pages), buf, e);

        for (uint64_t i = 0; k >= 0 && checked && i < nr_pages; i++) {
                uint64_t found = XXH3_64bits(buf + pages_to_bytes(i), PAGE_BYTES), expected;

                if (!page_sums_get(&r->sums, run, skip + i, &expected))
                        return err_bad(e, src->name, offset + pages_to_bytes(i), "RAM page %" PRIu64 ": expected its checksum, found that it cannot be "
                                       "read any more" WHAT_TO_DO, page + i);
                if (found != expected)
                        return err_bad(e, src->name, offset + pages_to_bytes(i), "RAM page %" PRIu64 ": expected checksum %#" PRIx64
                                       ", found %#" PRIx64 WHAT_TO_DO, page + i, expected, found);
        }
        return k;
}

/* The bytes in r->packed. */
static int unpack(struct page_reader *r, const struct page_chunk *c, uint8_t *to, struct err *e)
{
        uint64_t bytes = pages_to_bytes(c->nr_pages);

        if (c->packed_bytes == bytes)
                memcpy(to, r->packed, bytes);
        else if (r->map->codec->unpack(to, bytes, r->packed, c->packed_bytes) < 0)
                return err_set(e, -EBADMSG, "expected %u pages packed by %s, found other bytes", c->nr_pages,
                               r->map->codec->name);
        if (r->verify && XXH3_64bits(to, bytes) != c->sum)
                return err_set(e, -EBADMSG, "expected checksum %#" PRIx64 ", found %#" PRIx64, c->sum,
                               (uint64_t)XXH3_64bits(to, bytes));
        return 0;
}

static int read_chunk(struct page_reader *r, const struct page_run *run, const struct chunk_place *at, uint8_t *to, struct err *e)
{
        const struct page_source *src = &r->map->sources[run->source];
        struct err                why = { 0 };
        int                       k = read_bytes(src, at->chunk->file_offset_bytes, at->chunk->packed_bytes, r->packed, e);

        if (k < 0)
                return k;
        if (unpack(r, at->chunk, to, &why) < 0)
                return err_bad(e, src->name, at->chunk->file_offset_bytes, "chunk %zu, RAM pages %" PRIu64 " to %" PRIu64 ": %s" WHAT_TO_DO,
                               (size_t)(at->chunk - r->map->chunks), at->first_page, at->first_page + at->chunk->nr_pages - 1, why.text);
        return 0;
}

/* The whole chunk, unless it is there since the last call. */
static int hold_chunk(struct page_reader *r, const struct page_run *run, const struct chunk_place *at, struct err *e)
{
        int k;

        if (r->held == at->chunk)
                return 0;
        r->held = NULL;
        k = read_chunk(r, run, at, r->chunk, e);
        if (k >= 0)
                r->held = at->chunk;
        return k;
}

/* Where all of the chunk is asked for it is unpacked in place. */
static int read_packed(struct page_reader *r, const struct page_run *run, uint64_t page, uint64_t nr_pages, uint8_t *buf,
                       struct err *e)
{
        while (nr_pages > 0) {
                struct chunk_place at = page_map_find_chunk(r->map, run, page);
                uint64_t           skip = page - at.first_page, nr = MIN(nr_pages, at.chunk->nr_pages - skip);
                bool               whole = nr == at.chunk->nr_pages;
                int                k = whole ? read_chunk(r, run, &at, buf, e) : hold_chunk(r, run, &at, e);

                if (k < 0)
                        return k;
                if (!whole)
                        memcpy(buf, r->chunk + pages_to_bytes(skip), pages_to_bytes(nr));
                page += nr;
                buf += pages_to_bytes(nr);
                nr_pages -= nr;
        }
        return 0;
}

int page_reader_read(struct page_reader *r, uint64_t first_page, uint64_t nr_pages, void *buf, struct err *e)
{
        uint8_t *at = buf;
        int      k = 0;

        while (nr_pages > 0 && k >= 0) {
                const struct page_run *run = page_map_find(r->map, first_page);
                uint64_t               nr;

                if (!run)
                        return err_set(e, -EINVAL, "expected a RAM page below %" PRIu64 ", found %" PRIu64, r->map->nr_pages,
                                       first_page);
                nr = MIN(nr_pages, run->first_page + run->nr_pages - first_page);
                if (run->kind == RUN_ZERO)
                        memset(at, 0, pages_to_bytes(nr));
                else if (run->kind == RUN_RAW)
                        k = read_raw(r, run, first_page, nr, at, e);
                else
                        k = read_packed(r, run, first_page, nr, at, e);
                first_page += nr;
                at += pages_to_bytes(nr);
                nr_pages -= nr;
        }
        return k;
}
