/* core/base/bitmap.c: the operations on many bits, a word at a time. Bits past nr_bits are never set. */
#include "core/base/bitmap.h"

#include <errno.h>
#include <stdlib.h>

#define WORD_BITS 64

static uint64_t words_for(uint64_t nr_bits)
{
        return nr_bits / WORD_BITS + (nr_bits % WORD_BITS != 0);
}

int bitmap_init(struct bitmap *b, uint64_t nr_bits)
{
        uint64_t  nr_words = words_for(nr_bits);
        uint64_t *words;

        /* one word at least: calloc of nothing may be NULL, which would look like no memory */
        words = calloc(nr_words ? nr_words : 1, sizeof(*words));
        if (!words)
                return -ENOMEM;
        *b = (struct bitmap){ .nr_bits = nr_bits, .words = words };
        return 0;
}

void bitmap_free(struct bitmap *b)
{
        if (!b)
                return;
        free(b->words);
        *b = (struct bitmap){ 0 };
}

void bitmap_set_range(struct bitmap *b, uint64_t first, uint64_t nr)
{
        uint64_t end = first + nr;
        uint64_t first_word = first / WORD_BITS, last_word;
        uint64_t head, tail;

        if (nr == 0)
                return;
        last_word = (end - 1) / WORD_BITS;
        head = ~0ULL << (first % WORD_BITS);
        tail = ~0ULL >> (WORD_BITS - 1 - (end - 1) % WORD_BITS);

        if (first_word == last_word) {
                b->words[first_word] |= head & tail;
                return;
        }
        b->words[first_word] |= head;
        for (uint64_t w = first_word + 1; w < last_word; w++)
                b->words[w] = ~0ULL;
        b->words[last_word] |= tail;
}

uint64_t bitmap_count(const struct bitmap *b)
{
        uint64_t n = 0;

        for (uint64_t w = 0; w < words_for(b->nr_bits); w++)
                n += (uint64_t)__builtin_popcountll(b->words[w]);
        return n;
}

/* The first bit at or after i that differs from those of skip (all zeros or all ones), or nr_bits. */
static uint64_t next_other(const struct bitmap *b, uint64_t i, uint64_t skip)
{
        uint64_t w = i / WORD_BITS, nr_words = words_for(b->nr_bits), word, found;

        if (i >= b->nr_bits)
                return b->nr_bits;
        word = (b->words[w] ^ skip) & (~0ULL << (i % WORD_BITS));
        while (!word) {
                if (++w == nr_words)
                        return b->nr_bits;
                word = b->words[w] ^ skip;
        }
        found = w * WORD_BITS + (uint64_t)__builtin_ctzll(word);
        /* the clear bits past the end of the last word are not ours */
        return found < b->nr_bits ? found : b->nr_bits;
}

uint64_t bitmap_next_set(const struct bitmap *b, uint64_t i)
{
        return next_other(b, i, 0);
}

uint64_t bitmap_next_clear(const struct bitmap *b, uint64_t i)
{
        return next_other(b, i, ~0ULL);
}
