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

static inline void bitmap_clear(struct bitmap *b, uint64_t i)
{
        b->words[i >> 6] &= ~(1ULL << (i & 63));
}

void     bitmap_set_range(struct bitmap *b, uint64_t first, uint64_t nr);
uint64_t bitmap_count(const struct bitmap *b);
/* The first set (clear) bit at or after i, or nr_bits. */
uint64_t bitmap_next_set(const struct bitmap *b, uint64_t i);
uint64_t bitmap_next_clear(const struct bitmap *b, uint64_t i);
