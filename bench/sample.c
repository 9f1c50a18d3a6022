/* A list that grows; what is said of it is bench/stats'. */
#include "bench/sample.h"

#include "bench/stats/stats.h"

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

double sample_quantile(struct sample *s, double q)
{
        if (s->nr == 0)
                return 0;
        stats_sort(s->v, s->nr);
        return stats_quantile(s->v, s->nr, q);
}

void sample_free(struct sample *s)
{
        free(s->v);
        *s = (struct sample){0};
}
