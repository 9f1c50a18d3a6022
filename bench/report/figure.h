/* bench/report/figure.h: a measured value as a figure with three digits, and one unit for all that stand in a column.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "bench/model/result.h"
#include "bench/stats/stats.h"

enum { FIGURE_BYTES = 32 };

struct figure_scale {
        double      divide;
        const char *unit; /* "ms", "MiB/s"; "" for what is only counted */
};

/* The unit in which the largest of the values reads well. unit is the metric's own. */
struct figure_scale figure_scale_of(const char *unit, double largest);
/* Three digits or, from 1000 on, all of them. */
void figure_value(char buf[FIGURE_BYTES], double v, const struct figure_scale *scale);
/* A value alone, with the unit that fits it: "84.1 ms". */
void figure_alone(char buf[2 * FIGURE_BYTES], double v, const char *unit);

/* What a metric is called: "T3", and "T3: the guest's first byte after the restore". The id itself where it is not known. */
const char *metric_title(const char *id);
const char *metric_long_title(const char *id);
/* Kept for JSON and HTML only: it says again what another one says, as the ledger saw it. */
bool metric_is_detail(const char *id);

/* Every id that some arm of the group has values of, in the table's order: known ones first. Returns how many; the strings are
 * the result's. */
enum { GROUP_METRICS_MAX = 64 };
size_t group_metrics(const struct bench_group *g, const char *ret[GROUP_METRICS_MAX]);
/* The first metric of the group that an arm has; NULL where no arm has it. */
const struct bench_metric *group_first_metric(const struct bench_group *g);
/* The largest median of the metric in the group, 0 where there is none. */
double group_largest(const struct bench_group *g, const char *id);
