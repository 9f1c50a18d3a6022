/* bench/report/compare.h: two results of the same bench, at two times: what changed beyond noise, and beyond what the machine
 * itself did.
 *
 * What runs within one bench tell of their noise is not all of it: between two benches a machine shifts as a whole (a neighbour,
 * the clock, where memory lies). So a time counts as changed only where it changed as such and also against the controls, which
 * are what both results measured of the same machine: the floors; where there are none, the reference arms and the peers of its
 * group. Where there is nothing of the kind, that is said.
 * Owns:    a comparison its rows and notes (compare_free); names in it are those of the two results, which must outlive it.
 * Threads: one.
 * Blocks:  never. Exits (status 1) where there is no memory. */
#pragma once

#include "bench/model/result.h"
#include "bench/stats/stats.h"

#include <stdio.h>

enum {
        COMPARE_THRESHOLD_PERCENT = 5, /* what people would not see in daily use is no regression; the noise of 20 runs on a busy machine is about half of it */
        COMPARE_LEAST_PERCENT = 1,     /* a smaller change is told as none, however sure */
};

enum compare_verdict {
        COMPARE_SAME,    /* no change beyond noise */
        COMPARE_MACHINE, /* changed, and not more than the controls did */
        COMPARE_BETTER,
        COMPARE_WORSE,
        COMPARE_CHANGED, /* and neither way is better */
        COMPARE_TOO_FEW, /* so few runs could not show any change */
        COMPARE_NOTHING, /* nothing to divide by */
        COMPARE_VERDICTS
};

struct compare_row {
        const struct bench_group  *group; /* of A */
        const struct bench_arm    *arm;
        const struct bench_metric *a, *b;
        bool                       first; /* the group's first metric */
        double                     p50_a, p50_b;
        struct stats_ratio         ratio; /* B to A */
        double                     p;     /* of the rank test, times the number of comparisons it stands among (Holm) */
        bool                       timed; /* a time or a rate: held against the controls */
        enum compare_verdict       verdict;
        /* How much the change is beyond the machine's, in percent, where the verdict is BETTER, WORSE or CHANGED. */
        double                     percent;
        bool                       regression; /* WORSE by more than the threshold */
};

struct comparison {
        double              threshold_percent;
        struct compare_row *rows;
        size_t              nr_rows, nr_regressions;
        /* How many times as long the controls took in B: the median of them, and of the ends of their intervals. */
        size_t                nr_floors; /* 0: none in both */
        double                machine;
        struct stats_interval machine_ci;
        char                **notes; /* what makes the two hard to compare, what only one of them has */
        size_t                nr_notes;
};

void compare_results(const struct bench_result *a, const struct bench_result *b, double threshold_percent,
                     struct comparison *ret);
void compare_free(struct comparison *c);
/* Of how many rows something can be told; 0: the two say nothing of each other. */
size_t compare_nr_told(const struct comparison *c);

const char *compare_verdict_word(enum compare_verdict v);
void compare_print(FILE *to, const struct comparison *c, const char *path_a, const struct bench_result *a, const char *path_b,
                   const struct bench_result *b);
void compare_json_write(FILE *to, const struct comparison *c, const char *path_a, const char *path_b);
