/* bench/report/html_parts.h: the parts of the page, and what they share. Text that a reader sees is HTML, so that it keeps its
 * size on a phone; the drawings are SVG that stretches to the width there is, with strokes that do not.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  on the stream. */
#pragma once

#include "bench/model/result.h"
#include "bench/report/figure.h"

#include <stdio.h>

/* Everything from a result goes through here: no markup, no control characters. NULL: nothing. */
void html_text(FILE *to, const char *s);
/* The same, of a name that others chose: its direction stays its own. */
void html_name(FILE *to, const char *s);
/* ` aria-label="..."` of text put together like printf. */
void html_label(FILE *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

extern const char html_style[];

/* Where a value stands from left to right (or bottom to top), 0 to 1. */
struct axis {
        double low, high; /* low < high */
        bool   log;       /* then low > 0 */
        double unit;      /* figures are round in these */
};

/* From 0 on, up to a round number; logarithmic where the values span more than `span` times. smallest > 0 where it is to be. */
struct axis axis_of(double smallest, double largest, double span, double unit);
double      axis_at(const struct axis *a, double v); /* clamped */
/* Round values along the axis. */
enum { AXIS_TICKS_MAX = 12 };
size_t axis_ticks(const struct axis *a, double ret[AXIS_TICKS_MAX]);
/* Lines across an SVG of 1000 units by height, and the figures below. */
void axis_grid(FILE *to, const struct axis *a, double height);
void axis_figures(FILE *to, const struct axis *a, const struct figure_scale *scale);

/* Each run a dot, with quartiles, median and interval. */
void html_runs(FILE *to, const struct bench_group *g, const struct bench_metric *first, size_t number);
void html_tables(FILE *to, const struct bench_group *g, const struct bench_metric *first, size_t number);
void html_floors(FILE *to, const struct bench_group *floors);
/* Pages as they came: time across, guest address up; and memory over time. */
void html_timelines(FILE *to, const struct bench_group *g, size_t number);
void html_levels(FILE *to, const struct bench_group *g, const struct axis *time, size_t number);

/* The nth of the colours and dash patterns for lines that share a drawing. */
enum { HTML_LINES = 7 };
