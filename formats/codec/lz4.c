/* formats/codec/lz4.c: liblz4 behind the contract of page_codec.h, and its compressors with memory of their own. */
#include "formats/codec/lz4.h"

#include "core/base/units.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>

/* --- unpacking --- */

static int unpack(void *dst, size_t dst_bytes, const void *src, size_t src_bytes)
{
        int n;

        if (dst_bytes > LZ4_MAX_INPUT_SIZE || src_bytes > INT_MAX)
                return -EBADMSG;
        n = LZ4_decompress_safe(src, dst, (int)src_bytes, (int)dst_bytes);
        return n >= 0 && (size_t)n == dst_bytes ? 0 : -EBADMSG;
}

const struct page_codec codec_lz4 = { .name = "lz4", .unpack = unpack };

/* --- packing --- */

#define FIRST_HC_LEVEL LZ4HC_CLEVEL_MIN

struct lz4_packer {
        int               level;
        _Alignas(16) char state[]; /* of whichever compressor the level asks for; LZ4 wants it aligned */
};

static_assert(LZ4_PACK_LEVEL_MAX == LZ4HC_CLEVEL_MAX, "the level is handed on");

int lz4_packer_new(int level, struct lz4_packer **ret)
{
        int                state_bytes = level >= FIRST_HC_LEVEL ? LZ4_sizeofStateHC() : LZ4_sizeofState();
        struct lz4_packer *p = calloc(1, sizeof(*p) + (size_t)state_bytes);

        if (!p)
                return -ENOMEM;
        p->level = level;
        *ret = p;
        return 0;
}

void lz4_packer_free(struct lz4_packer *p)
{
        free(p);
}

size_t lz4_pack(struct lz4_packer *p, void *dst, size_t cap_bytes, const void *src, size_t src_bytes)
{
        int cap = (int)MIN(cap_bytes, (size_t)INT_MAX), n;

        if (src_bytes > LZ4_MAX_INPUT_SIZE)
                return 0;
        if (p->level >= FIRST_HC_LEVEL)
                n = LZ4_compress_HC_extStateHC(p->state, src, dst, (int)src_bytes, cap, p->level);
        else
                n = LZ4_compress_fast_extState(p->state, src, dst, (int)src_bytes, cap, p->level < 0 ? -p->level : 1);
        return n > 0 ? (size_t)n : 0;
}
