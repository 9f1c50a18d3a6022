/* tests/unit/uffd/torture_packed.h: the packed runs of a model: chunks of LZ4, cut at both ends as a child cuts its parent's,
 * with holes in the middle that have other bytes by now.
 * Owns:    nothing of its own.
 * Threads: one, before the pager is made.
 * Blocks:  on the file.
 *
 *   file     | chunk 4 | chunk 5 | chunk 6 |
 *   RAM  ----|..#######|###00####|####.....|----     . what the chunk has besides   0 a run of zeros laid over it */
#pragma once

#include "tests/unit/uffd/torture_bytes.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static int torture_unpack(void *dst, size_t dst_bytes, const void *src, size_t src_bytes)
{
        return LZ4_decompress_safe(src, dst, (int)src_bytes, (int)dst_bytes) == (int)dst_bytes ? 0 : -EBADMSG;
}

static const struct page_codec torture_codec = { "lz4", torture_unpack };

static void packed_append_chunk(struct model *m, unsigned source, const uint8_t *bytes, uint64_t nr_pages, uint64_t *r)
{
        size_t             len = pages_to_bytes(nr_pages);
        char              *to = malloc(len);
        int                n = LZ4_compress_default((const char *)bytes, to, (int)len, (int)len - 1);
        struct page_chunk *c = &m->map.chunks[m->map.nr_chunks++];

        m->end_bytes[source] += torture_chance(r, 8) ? torture_random(r, 200) : 0;
        *c = (struct page_chunk){ .file_offset_bytes = m->end_bytes[source], .packed_bytes = n > 0 ? (uint32_t)n : (uint32_t)len,
                                  .nr_pages = (uint16_t)nr_pages, .sum = XXH3_64bits(bytes, len) };
        cr_assert_eq(pwrite(m->fds[source], n > 0 ? (const void *)to : bytes, c->packed_bytes, (off_t)c->file_offset_bytes),
                     (ssize_t)c->packed_bytes);
        m->end_bytes[source] += c->packed_bytes;
        free(to);
}

/* The chunks of [first, +nr), of which the first has `skip` pages more in front, and the last perhaps some behind. */
static void packed_write_chunks(struct model *m, unsigned source, uint64_t first, uint64_t nr, uint64_t skip, uint64_t *r)
{
        uint64_t chunk_pages = m->chunk_pages[source], total = skip + nr;
        uint8_t *bytes = malloc(pages_to_bytes(chunk_pages));

        for (uint64_t at = 0; at < total; at += chunk_pages) {
                uint64_t n = MIN(chunk_pages, total - at);

                n += torture_random(r, chunk_pages - n + 1);
                for (uint64_t i = 0; i < n; i++) {
                        uint64_t page = first - skip + at + i;
                        bool     ours = at + i >= skip && at + i < total;

                        model_page_bytes(m->s, ours ? page : ~page, (uint64_t *)(void *)(bytes + pages_to_bytes(i)));
                        if (ours)
                                memcpy(m->want + pages_to_bytes(page), bytes + pages_to_bytes(i), PAGE_BYTES);
                }
                packed_append_chunk(m, source, bytes, n, r);
        }
        free(bytes);
}

static void packed_append_runs(struct model *m, uint64_t first, uint64_t nr, uint64_t *r)
{
        unsigned source = (unsigned)torture_random(r, m->s->sources);
        uint64_t chunk_pages = m->chunk_pages[source], base = m->map.nr_chunks, n;
        uint64_t skip = torture_chance(r, 2) ? torture_random(r, MIN(chunk_pages, first + 1)) : 0;

        packed_write_chunks(m, source, first, nr, skip, r);
        for (uint64_t page = first; page < first + nr; page += n) {
                uint64_t        at = page - first + skip;
                struct page_run run;

                n = torture_size(r, first + nr - page);
                run = (struct page_run){ .first_page = page, .nr_pages = (uint32_t)n, .source = (uint16_t)source,
                                         .kind = RUN_PACKED,
                                         .first_chunk = (uint32_t)(base + at / chunk_pages),
                                         .skip_pages = (uint32_t)(at % chunk_pages) };
                if (torture_chance(r, 6)) {
                        run = (struct page_run){ .first_page = page, .nr_pages = (uint32_t)n, .kind = RUN_ZERO };
                        memset(m->want + pages_to_bytes(page), 0, pages_to_bytes(n));
                }
                cr_assert_eq(page_map_append(&m->map, &run), 0);
        }
}

/* Of the pages that come and go with this one: does any lie on a bad sector? */
static bool packed_is_unreadable(const struct model *m, const struct page_run *run, uint64_t page)
{
        struct chunk_place        at = page_map_find_chunk(&m->map, run, page);
        const struct pager_range *range = m->ranges;
        uint64_t                  first, end;

        while (page - range->first_page >= range->nr_pages)
                range++;
        first = MAX(MAX(at.first_page, run->first_page), range->first_page);
        end = MIN(MIN(at.first_page + at.chunk->nr_pages, run->first_page + run->nr_pages), range->first_page + range->nr_pages);
        return pager_fault_clip(&m->s->faults, CHANCE_EIO, first, end - first) < end - first;
}

static bool packed_is_flipped(const struct model *m, const struct page_chunk *c)
{
        return m->s->flip_one_in && torture_mix(m->s->seed + (uint64_t)(c - m->map.chunks) * 7) % m->s->flip_one_in == 0;
}

/* A byte that makes a difference: LZ4 can say the same in two ways. */
static void packed_flip(const struct model *m, unsigned source, const struct page_chunk *c)
{
        size_t   len = pages_to_bytes(c->nr_pages);
        uint8_t *packed = malloc(c->packed_bytes), *bytes = malloc(len);
        uint64_t r = torture_mix((uint64_t)c->sum), at;
        bool     same = true;

        cr_assert_eq(pread(m->fds[source], packed, c->packed_bytes, (off_t)c->file_offset_bytes), (ssize_t)c->packed_bytes);
        while (same) {
                at = torture_random(&r, c->packed_bytes);
                packed[at] ^= 1;
                same = c->packed_bytes != len && torture_unpack(bytes, len, packed, c->packed_bytes) == 0 &&
                       XXH3_64bits(bytes, len) == c->sum;
                if (same)
                        packed[at] ^= 1;
        }
        cr_assert_eq(pwrite(m->fds[source], &packed[at], 1, (off_t)(c->file_offset_bytes + at)), 1);
        free(packed);
        free(bytes);
}

static void packed_flip_all(struct model *m)
{
        bool *done = calloc(m->map.nr_chunks + 1, sizeof(*done));

        for (size_t i = 0; i < m->map.nr_runs; i++) {
                const struct page_run *run = &m->map.runs[i];

                for (uint64_t page = run->first_page; run->kind == RUN_PACKED && page < run->first_page + run->nr_pages; page++) {
                        const struct page_chunk *c = page_map_find_chunk(&m->map, run, page).chunk;

                        if (packed_is_flipped(m, c) && !done[c - m->map.chunks])
                                packed_flip(m, run->source, c);
                        done[c - m->map.chunks] = true;
                }
        }
        free(done);
}
