/* tests/support/beacon.h: reads what the beacon guest says of itself.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct beacon_tick {
        uint64_t n, nonce;
        bool     good; /* bad=0 stuck=0 irq=ok */
        char     words[256]; /* of its line, after the nonce */
};

/* " NAME=" of the line: the number behind it; 0 where it has none. */
uint64_t beacon_number(const struct beacon_tick *t, const char *name);

/* The first (last) whole TICK line of text; false if there is none. */
bool beacon_first(const char *text, struct beacon_tick *ret);
bool beacon_last(const char *text, struct beacon_tick *ret);

/* Asserts that text holds the ticks first.n, first.n+1, ... of one nonce, all good, at least `least` of them, and no BOOT.
 * Fails the test otherwise. Returns the last one. */
struct beacon_tick beacon_assert_goes_on(const char *text, uint64_t first_n, uint64_t nonce, size_t least);
