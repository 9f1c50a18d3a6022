/* tests/unit/bench/draws.h: seeded samples of known distributions.
 * Owns:    nothing; what a metric holds is its result's.
 * Threads: one at a time for each struct draws.
 * Blocks:  never. */
#pragma once

#include "bench/model/result.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

struct draws {
        uint64_t state;
};

static inline double draw_uniform(struct draws *d) /* (0, 1) */
{
        uint64_t z = (d->state += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return ((double)((z ^ (z >> 31)) >> 12) + 0.5) / 4503599627370496.0;
}

static inline double draw_normal(struct draws *d) /* Box and Muller */
{
        double r = sqrt(-2 * log(draw_uniform(d)));

        return r * cos(2 * acos(-1) * draw_uniform(d));
}

/* n values of a lognormal distribution with this median; spread is the standard deviation of the logarithm. */
static inline struct bench_metric draw_metric(struct draws *d, size_t n, double median, double spread)
{
        struct bench_metric m = {0};

        for (size_t i = 0; i < n; i++)
                bench_value_add(&m, (uint32_t)i, median * exp(spread * draw_normal(d)));
        return m;
}
