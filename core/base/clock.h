/* core/base/clock.h: the one clock of every stamp: CLOCK_MONOTONIC in nanoseconds.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_read_ns(clockid_t id)
{
        struct timespec t;

        clock_gettime(id, &t);
        return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void)
{
        return clock_read_ns(CLOCK_MONOTONIC);
}
