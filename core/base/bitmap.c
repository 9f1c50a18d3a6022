/* core/base/bitmap.c: its memory; the operations are in the header. */
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
