/* bench/fanout/line.h: a straight line through points, by least squares.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct line {
        double slope, intercept;
        bool   has_error; /* three points or more */
        double slope_error, intercept_error; /* standard errors */
};

/* False: fewer than two different x. */
bool line_fit(const double *x, const double *y, size_t n, struct line *ret);
