/* bench/stats/stats.h: what may be said of measured values: quantiles, 95 % intervals, and whether two arms can be told apart.
 *
 * The unit is the round: values of one round stand and fall together (N clones of one burst are no N measurements), and two arms
 * are compared over the rounds that both have. Intervals are percentile bootstraps over rounds, widened for few of them as
 * Hesterberg (2014, "What teachers should know about the bootstrap", section 4.2.3: expanded percentile) does. Not BCa: the
 * jackknife of a median takes two or three values, so BCa's acceleration means nothing here, and its bias correction jumps
 * between them. The draws are seeded by a constant: the same values always give the same interval.
 * Owns:    nothing that outlives a call.
 * Threads: any.
 * Blocks:  never; an interval of 100 runs takes a millisecond. Exits (status 1) where there is no memory. */
#pragma once

#include "bench/model/result.h"

#include <stdbool.h>
#include <stddef.h>

enum {
        /* Under six values even the whole range holds the median less often than 95 times of 100 (1 - 2 / 2^n). */
        STATS_RUNS_CI = 6,
        STATS_RUNS_P95 = 20,
        STATS_RUNS_P99 = 100,
        STATS_RESAMPLES = 2000,
        /* What "how many runs would be needed" goes up to. */
        STATS_RUNS_MAX = 100000,
};

struct stats_interval {
        bool   known;
        double low, high;
};

/* Upwards. */
void stats_sort(double *v, size_t n);
/* q from 0 to 1, sorted upwards, n > 0: linear between order statistics (Hyndman and Fan 1996, type 7; R's and numpy's
 * default). */
double stats_quantile(const double *sorted, size_t n, double q);

struct stats_summary {
        size_t runs; /* rounds with a value */
        double min, q1, p50, q3, max;
        bool   has_p95, has_p99; /* enough runs for it */
        double p95, p99;
        struct stats_interval ci; /* 95 %, of p50 */
};

/* False where the metric (which may be NULL) has no values; *ret is zeroed then. */
bool stats_summarize(const struct bench_metric *m, struct stats_summary *ret);

/* Of all values, and nothing else of them. False where there are none. */
bool stats_median(const struct bench_metric *m, double *ret);

enum stats_verdict {
        STATS_NO_RATIO, /* no round has both, or what is divided by is not above 0 */
        STATS_TOO_FEW,  /* there is a ratio, and no interval */
        STATS_LOWER,
        STATS_HIGHER,
        STATS_ALIKE, /* cannot be told apart by these runs */
};

struct stats_ratio {
        enum stats_verdict verdict;
        size_t runs;  /* rounds that both have; for two samples apart, the smaller number */
        double ratio; /* a to b: paired: the median of the rounds' ratios; apart: the ratio of the medians */
        struct stats_interval ci; /* 95 % */
        /* TOO_FEW, ALIKE: runs after which a difference as seen would show 4 times of 5, if the noise stays as it is; 0: more
         * than STATS_RUNS_MAX */
        size_t runs_needed;
};

/* Do these runs tell the two apart? */
static inline bool stats_told_apart(const struct stats_ratio *r)
{
        return r->verdict == STATS_LOWER || r->verdict == STATS_HIGHER;
}

/* Arms that ran side by side: the median of what the ratio was in each round. Either may be NULL. */
struct stats_ratio stats_ratio_paired(const struct bench_metric *a, const struct bench_metric *b);
/* Two results: the rounds of each are drawn for themselves. */
struct stats_ratio stats_ratio_apart(const struct bench_metric *a, const struct bench_metric *b);

/* Mann and Whitney's U of two samples, one value (the median) a round; two-sided p by the normal approximation, corrected for
 * ties and continuity. 1 where either is empty or all values are the same. */
double stats_rank_p(const struct bench_metric *a, const struct bench_metric *b);

/* Is the ratio at most (at least) the goal? "0.78 (0.69 to 0.85), reached"; where the interval has the goal in it, or there is none,
 * that it cannot be told. r has a ratio. */
void stats_goal_words(char *buf, size_t size, const struct stats_ratio *r, double goal, bool at_most);
/* "hints is lower than mmap: 0.61 times (0.58 to 0.66)", "hints and mmap cannot be told apart: ...". unit_lower, unit_higher:
 * "sooner"/"later", "lower"/"higher". */
void stats_ratio_words(char *buf, size_t size, const struct stats_ratio *r, const char *a, const char *b, const char *lower,
                       const char *higher);
