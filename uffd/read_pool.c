/* uffd/read_pool.c: aligned powers of two are found within one word of bits, or are whole words. */
#include "uffd/read_pool.h"

#include "core/base/units.h"

#define WORD_PAGES 64

static uint32_t rounded(uint32_t nr_pages)
{
        uint32_t n = 1;

        while (n < nr_pages)
                n *= 2;
        return n;
}

static uint64_t mask_of(uint32_t nr) /* 1 to 64 */
{
        return nr == WORD_PAGES ? UINT64_MAX : (UINT64_C(1) << nr) - 1;
}

/* The first of nr free bits at a multiple of nr, or -1. */
static int find_in_word(uint64_t used, uint32_t nr)
{
        for (uint32_t at = 0; at < WORD_PAGES; at += nr)
                if (!(used & mask_of(nr) << at))
                        return (int)at;
        return -1;
}

static bool words_are_free(const struct read_pool *p, uint32_t word, uint32_t nr_words)
{
        for (uint32_t i = 0; i < nr_words; i++)
                if (p->used[word + i])
                        return false;
        return true;
}

static int take_words(struct read_pool *p, uint32_t nr_words, uint32_t end_word)
{
        for (uint32_t word = 0; word + nr_words <= end_word; word += nr_words) {
                if (!words_are_free(p, word, nr_words))
                        continue;
                for (uint32_t i = 0; i < nr_words; i++)
                        p->used[word + i] = UINT64_MAX;
                return (int)(word * WORD_PAGES);
        }
        return -1;
}

static int take_bits(struct read_pool *p, uint32_t nr, uint32_t word)
{
        int at = find_in_word(p->used[word], nr);

        if (at < 0)
                return -1;
        p->used[word] |= mask_of(nr) << at;
        return (int)(word * WORD_PAGES) + at;
}

int read_pool_take(struct read_pool *p, uint32_t nr_pages, bool urgent)
{
        uint32_t nr = rounded(nr_pages), words = (urgent ? READ_POOL_PAGES : READ_POOL_SHARED) / WORD_PAGES;
        int      first = -1;

        if (nr > WORD_PAGES)
                return nr > READ_POOL_MAX_PAGES ? -1 : take_words(p, nr / WORD_PAGES, words);
        for (uint32_t i = 0; i < words && first < 0; i++)
                first = take_bits(p, nr, urgent ? words - 1 - i : i);
        return first;
}

void read_pool_give(struct read_pool *p, int first_page, uint32_t nr_pages)
{
        uint32_t nr = rounded(nr_pages), word = (uint32_t)first_page / WORD_PAGES, at = (uint32_t)first_page % WORD_PAGES;

        if (nr <= WORD_PAGES)
                p->used[word] &= ~(mask_of(nr) << at);
        for (uint32_t i = 0; nr > WORD_PAGES && i < nr / WORD_PAGES; i++)
                p->used[word + i] = 0;
}
