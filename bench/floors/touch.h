/* bench/floors/touch.h: threads touch pages of a memory, and each touch is timed: what a fault costs whoever meets it.
 * Owns:    nothing.
 * Threads: makes its own, and waits for them.
 * Blocks:  until every page was touched. What fails ends the program with a line. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TOUCH_THREADS_MAX 64

struct touch_plan {
        uint8_t        *memory;
        /* threads * touches long: the time of each touch, the look at the clock included (some 40 ns) */
        double         *us;
        unsigned        threads, touches; /* touches: of each thread */
        const uint64_t *pages;            /* numbers of pages: thread i begins at pages[i * stride] */
        uint64_t        stride;
        uint64_t        page_bytes;
        bool            write;
};

void touch_run(const struct touch_plan *p);
