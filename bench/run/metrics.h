/* bench/run/metrics.h: what is measured of one restore: a table of names and units, and the values of one run.
 * Owns:    nothing.
 * Threads: plain data.
 * Blocks:  never. */
#pragma once

#include "bench/model/result.h"

enum metric {
        /* As seen from outside, by the bench, for every arm alike: what arms are compared by. From T0, the moment before the
         * program is started. */
        METRIC_T3, /* the first byte at the serial port */
        METRIC_T4, /* the end of the first line that matches --mark */
        METRIC_CPU, /* of the whole process tree, from its start to its end, user and system */
        METRIC_MAJOR_FAULTS, /* the same */
        METRIC_RSS_T3, METRIC_RSS_END, METRIC_RSS_PEAK, METRIC_PSS_END, /* sums over the tree; the end: T4, or what --settle gives */
        /* As rouse's own ledger says; absent where there is none, or where a stamp was not reached. */
        METRIC_T1, METRIC_T2, METRIC_T5, METRIC_T6,
        METRIC_T2_LESS_SLOTS, /* without the bare KVM_SET_USER_MEMORY_REGION calls */
        METRIC_T3_LEDGER, METRIC_T4_LEDGER,
        METRIC_DEMAND, METRIC_AROUND, METRIC_REPLAY, METRIC_FILL, METRIC_ZERO,
        METRIC_INSTALLED, METRIC_READ, METRIC_LOST, METRIC_STALL, METRIC_PAGER_CPU,
        METRICS
};

struct metric_kind {
        const char       *id, *unit;
        enum bench_better better;
};
extern const struct metric_kind metric_kinds[METRICS];

/* Of one run. */
struct metric_values {
        bool   has[METRICS];
        double v[METRICS];
};

static inline void metric_set(struct metric_values *m, enum metric id, double v)
{
        m->has[id] = true;
        m->v[id] = v;
}

/* Every value that there is, into the arm, as of that round. */
void metrics_keep(struct bench_arm *a, uint32_t round, const struct metric_values *m);
