/* core/base/bitmap.h: one bit per page.
 * Owns:    its words; bitmap_free accepts NULL and zeroed objects.
 * Threads: one at a time; a caller that shares one locks.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bitmap {
        uint64_t  nr_bits;
        uint64_t *words;
};

int  bitmap_init(struct bitmap *b, uint64_t nr_bits); /* all clear; 0 or -ENOMEM */
void bitmap_free(struct bitmap *b);

static inline bool bitmap_test(const struct bitmap *b, uint64_t i)
{
        return b->words[i >> 6] >> (i & 63) & 1;
}

static inline void bitmap_set(struct bitmap *b, uint64_t i)
{
        b->words[i >> 6] |= 1ULL << (i & 63);
}
