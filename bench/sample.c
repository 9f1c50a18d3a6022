/* Medians and percentiles. */
#include "bench/sample.h"

#include <stdio.h>
#include <stdlib.h>

void sample_add(struct sample *s, double v)
{
        if (s->nr == s->cap) {
                s->cap = s->cap ? s->cap * 2 : 64;
                s->v = realloc(s->v, s->cap * sizeof(*s->v));
                if (!s->v) {
                        fprintf(stderr, "bench: no memory\n");
                        exit(1);
                }
        }
        s->v[s->nr++] = v;
}

static int by_value(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

double sample_quantile(struct sample *s, double q)
{
        double at;
        size_t i;

        if (s->nr == 0)
                return 0;
        qsort(s->v, s->nr, sizeof(*s->v), by_value);
        at = q * (double)(s->nr - 1);
        i = (size_t)at;
        if (i + 1 >= s->nr)
                return s->v[s->nr - 1];
        return s->v[i] + (at - (double)i) * (s->v[i + 1] - s->v[i]);
}

void sample_free(struct sample *s)
{
        free(s->v);
        *s = (struct sample){0};
}
