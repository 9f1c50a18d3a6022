/* Hostile drivers by the thousand: the queue does what a simple model does, and writes nothing else. */
#include "tests/unit/kvm/virtq_model.h"

#include <criterion/criterion.h>

/* Longer plays reach further: rings that go round, tables within tables. */
static void play_seeds(unsigned int first, unsigned int nr, size_t max_bytes)
{
        uint8_t *bytes = malloc(max_bytes);
        char     wrong[200];

        for (unsigned int seed = first; seed < first + nr; seed++) {
                unsigned int state = seed;
                size_t       len = (size_t)rand_r(&state) % max_bytes;

                for (size_t i = 0; i < len; i++)
                        bytes[i] = (uint8_t)(rand_r(&state) >> 8);
                cr_assert_null(virtq_play(bytes, len, wrong), "seed %u: %s", seed, wrong);
        }
        free(bytes);
}

Test(virtq_model, queue_and_model_agree_on_short_plays)
{
        play_seeds(1, 20000, 200);
}

Test(virtq_model, queue_and_model_agree_on_long_plays)
{
        play_seeds(1000000, 2000, 6000);
}

static size_t put(uint8_t *to, size_t nr, const uint8_t *from)
{
        memcpy(to, from, nr);
        return nr;
}

/* Drivers that mostly keep the rules: so that the plays above do not all end at the first pop. */
Test(virtq_model, queue_and_model_agree_where_the_driver_keeps_the_rules)
{
        for (unsigned int seed = 1; seed <= 2000; seed++) {
                uint8_t      bytes[2000] = { 0x20 | 4, 0 }; /* 16 entries, an event index */
                size_t       n = 2;
                unsigned int state = seed;
                char         wrong[200];

                for (uint8_t i = 0; i < 16; i++) /* descriptor i: in RAM, 16 bytes, of no or one more that follows it */
                        n += put(bytes + n, 7, (uint8_t[]){ 0, i, 1, 0, 1, i < 8 && rand_r(&state) % 2 ? 0x60 : 0,
                                                            (uint8_t)(i + 8) });
                while (n + 8 < sizeof(bytes))
                        switch (rand_r(&state) % 8) {
                        case 0:
                                n += put(bytes + n, 4, (uint8_t[]){ 6, 2, rand_r(&state) % 8, rand_r(&state) % 8 });
                                break;
                        case 1:
                                n += put(bytes + n, 2, (uint8_t[]){ 10, rand_r(&state) % 8 });
                                break;
                        case 2:
                                bytes[n++] = 11;
                                break;
                        case 3: case 4:
                                n += put(bytes + n, 3, (uint8_t[]){ 12, 1, (uint8_t)rand_r(&state) });
                                break;
                        case 5:
                                bytes[n++] = 13;
                                break;
                        default:
                                bytes[n++] = 14;
                        }
                cr_assert_null(virtq_play(bytes, n, wrong), "seed %u: %s", seed, wrong);
        }
}
