/* bench/stats/bootstrap.h: medians of redrawn rounds; the inside of bench/stats.
 * Owns:    a pool its arrays, freed by stats_pool_free.
 * Threads: any.
 * Blocks:  never. Exits where there is no memory. */
#pragma once

#include "bench/stats/stats.h"

#include <stdint.h>

/* Values, sorted upwards, each with the number (0 .. nr_rounds - 1) of its round. */
struct stats_pool {
        size_t    nr, nr_rounds;
        double   *value;
        uint32_t *round;
};

/* All values of m. */
void stats_pool_fill(struct stats_pool *p, const struct bench_metric *m);
/* a to b in each round that both have (their medians there). *ret_defined: false where a b is not above 0. */
void stats_pool_fill_ratios(struct stats_pool *p, const struct bench_metric *a, const struct bench_metric *b, bool *ret_defined);
void stats_pool_free(struct stats_pool *p);

/* The median where round i stands times[i] times; the times of all values sum up to more than 0. */
double stats_pool_median(const struct stats_pool *p, const uint32_t *times);
/* nr rounds drawn with replacement: how often each. *state goes on. */
void stats_draw(uint64_t *state, uint32_t *times, size_t nr);

/* m, one value for each round: the median of those that it has. The caller frees its values. */
struct bench_metric stats_by_round(const struct bench_metric *m);

struct stats_interval stats_interval_of_median(const struct stats_pool *p);
/* The 95 % interval from the medians (or ratios) of resamples of nr rounds; sorts v. */
struct stats_interval stats_interval_of(double *v, size_t n, size_t nr_rounds);

void *stats_alloc(size_t nr, size_t size); /* zeroed */

#define STATS_SEED UINT64_C(0x726f757365)
