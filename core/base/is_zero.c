/* core/base/is_zero.c: ORs a block of words together and looks once per block; the blocks are sized for the vectoriser. */
#include "core/base/is_zero.h"

#include <stdint.h>

/* The page holds objects of other types; this is the alias the compiler may not argue with. */
typedef uint64_t __attribute__((may_alias)) any_u64;

#define LINE_WORDS  8  /* 64 bytes: one cache line, and the granule of len_bytes */
#define BLOCK_WORDS 64 /* 512 bytes between two looks: arbitrary; 8 branches a page are lost in the loads */

static inline uint64_t or_line(const any_u64 *w)
{
        return (w[0] | w[1] | w[2] | w[3]) | (w[4] | w[5] | w[6] | w[7]);
}

static inline uint64_t or_block(const any_u64 *w)
{
        uint64_t lanes[LINE_WORDS] = { 0 };

        for (int i = 0; i < BLOCK_WORDS; i += LINE_WORDS)
                for (int k = 0; k < LINE_WORDS; k++)
                        lanes[k] |= w[i + k];
        return or_line(lanes);
}

bool is_zero(const void *p, size_t len_bytes)
{
        const any_u64 *w = p;
        size_t         left = len_bytes / sizeof(*w);

        /* nearly every data page is told by its first line */
        if (left && or_line(w))
                return false;
        for (; left >= BLOCK_WORDS; w += BLOCK_WORDS, left -= BLOCK_WORDS)
                if (or_block(w))
                        return false;
        for (; left >= LINE_WORDS; w += LINE_WORDS, left -= LINE_WORDS)
                if (or_line(w))
                        return false;
        return true;
}
