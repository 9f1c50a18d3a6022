/* formats/codec/lz4.h: chunks of pages as LZ4 blocks (no frame: lengths and checksums are the page map's).
 * Owns:    a packer its working memory, until lz4_packer_free.
 * Threads: a packer is one thread's; codec_lz4 is anybody's.
 * Blocks:  never. */
#pragma once

#include "core/model/page_codec.h"

#include <stdbool.h>

/* As the lz4 program counts them: 1 and 2 its fast compressor, 3 to 12 the high compression one; below 0 faster than fast, by
 * LZ4_compress_fast's acceleration. Unpacking is as fast whatever the level. */
#define LZ4_PACK_LEVEL_MIN     (-64)
#define LZ4_PACK_LEVEL_DEFAULT 1
#define LZ4_PACK_LEVEL_MAX     12

static inline bool lz4_pack_level_is_valid(int level)
{
        return level >= LZ4_PACK_LEVEL_MIN && level <= LZ4_PACK_LEVEL_MAX && level != 0;
}

extern const struct page_codec codec_lz4;

struct lz4_packer;

int  lz4_packer_new(int level, struct lz4_packer **ret); /* 0 or -ENOMEM */
void lz4_packer_free(struct lz4_packer *p);              /* accepts NULL */

/* Bytes written to dst; 0: they do not fit in cap_bytes, so they are not worth packing. */
size_t lz4_pack(struct lz4_packer *p, void *dst, size_t cap_bytes, const void *src, size_t src_bytes);
