/* tests/unit/uffd/packed_rig.h: the rig of rig.h, its memory file packed by LZ4.
 * Owns:    nothing of its own.
 * Threads: one, before the pager is made.
 * Blocks:  on the file. */
#pragma once

#include "tests/unit/uffd/rig.h"

#include <lz4.h>

static inline int rig_unpack(void *dst, size_t dst_bytes, const void *src, size_t src_bytes)
{
        return LZ4_decompress_safe(src, dst, (int)src_bytes, (int)dst_bytes) == (int)dst_bytes ? 0 : -EBADMSG;
}

static const struct page_codec rig_codec = { "lz4", rig_unpack };

static inline void rig_pack_one(struct rig *g, uint64_t first, uint64_t nr, uint64_t *at)
{
        const uint8_t     *bytes = g->model + pages_to_bytes(first);
        size_t             len = pages_to_bytes(nr);
        char              *to = malloc(len);
        int                n = LZ4_compress_default((const char *)bytes, to, (int)len, (int)len - 1);
        struct page_chunk *c = &g->map.chunks[g->map.nr_chunks++];

        *c = (struct page_chunk){ .file_offset_bytes = *at, .packed_bytes = n > 0 ? (uint32_t)n : (uint32_t)len,
                                  .nr_pages = (uint16_t)nr,
                                  .sum = XXH3_64bits(bytes, len) };
        cr_assert_eq(pwrite(g->fd, n > 0 ? (const void *)to : bytes, c->packed_bytes, (off_t)*at), (ssize_t)c->packed_bytes);
        *at += c->packed_bytes;
        free(to);
}

/* All of RAM is one packed run; pages of zeros are packed with the others. After changes of the model, before rig_start. */
static inline void rig_pack(struct rig *g, uint32_t chunk_pages)
{
        uint64_t at = 0;

        cr_assert_eq(ftruncate(g->fd, 0), 0);
        g->map.chunks = calloc(g->nr_pages / chunk_pages + 1, sizeof(*g->map.chunks));
        for (uint64_t page = 0; page < g->nr_pages; page += chunk_pages)
                rig_pack_one(g, page, MIN(chunk_pages, g->nr_pages - page), &at);
        g->map.sources[0].size_bytes = at;
        g->map.sources[0].chunk_pages = chunk_pages;
        g->map.codec = &rig_codec;
        g->map.zeros_known = true;
        g->map.nr_runs = 0;
        cr_assert_eq(page_map_append(&g->map, &(struct page_run){ .nr_pages = (uint32_t)g->nr_pages, .kind = RUN_PACKED }), 0);
        g->c.verify = true;
}

/* One byte of a chunk in the file. */
static inline void rig_flip(struct rig *g, size_t chunk, uint32_t at)
{
        off_t   offset = (off_t)(g->map.chunks[chunk].file_offset_bytes + at);
        uint8_t b;

        cr_assert_eq(pread(g->fd, &b, 1, offset), 1);
        b ^= 0x10;
        cr_assert_eq(pwrite(g->fd, &b, 1, offset), 1);
}
