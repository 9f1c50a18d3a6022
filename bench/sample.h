/* bench/sample.h: a list of measured values and what is said of it.
 * Owns:    its array.
 * Threads: one.
 * Blocks:  never. */
#pragma once

#include <stddef.h>

struct sample {
        size_t  nr, cap;
        double *v;
};

void   sample_add(struct sample *s, double v);
/* 0 for an empty sample. Sorts. */
double sample_quantile(struct sample *s, double q);
void   sample_free(struct sample *s);
