/* formats/siphash.c: SipHash after its paper (Aumasson, Bernstein 2012): one round per word, three at the end. */
#include "formats/siphash.h"

#include <endian.h>
#include <string.h>

struct state {
        uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, unsigned int by)
{
        return x << by | x >> (64 - by);
}

static void sip_round(struct state *s)
{
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 = rotate(s->v2, 32);
}

static void absorb(struct state *s, uint64_t word)
{
        s->v3 ^= word;
        sip_round(s);
        s->v0 ^= word;
}

/* The bytes that fill no word, and the length in the topmost byte. */
static uint64_t last_word(const uint8_t *p, size_t left, size_t len)
{
        uint64_t word = (uint64_t)len << 56;

        for (size_t i = 0; i < left; i++)
                word |= (uint64_t)p[i] << (8 * i);
        return word;
}

uint64_t siphash13(const void *bytes, size_t len)
{
        /* "somepseudorandomlygeneratedbytes", xored with a key of zeros */
        struct state   s = { 0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573 };
        const uint8_t *p = bytes;
        size_t         left = len;
        uint64_t       word;

        for (; left >= sizeof(word); p += sizeof(word), left -= sizeof(word)) {
                memcpy(&word, p, sizeof(word));
                absorb(&s, le64toh(word));
        }
        absorb(&s, last_word(p, left, len));
        s.v2 ^= 0xff;
        for (int i = 0; i < 3; i++)
                sip_round(&s);
        return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t siphash13_str(const char *s)
{
        uint8_t text[SIPHASH_STR_MAX + 1];
        size_t  len = strnlen(s, SIPHASH_STR_MAX);

        memcpy(text, s, len);
        text[len] = 0xff;
        return siphash13(text, len + 1);
}
