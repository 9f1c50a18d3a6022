/* Mann and Whitney: are the values of one sample larger than those of the other more often than chance would have it? */
#include "bench/stats/bootstrap.h"

#include <math.h>
#include <stdlib.h>

struct ranked {
        double value;
        bool   first; /* of the first sample */
};

static int by_value(const void *a, const void *b)
{
        double x = ((const struct ranked *)a)->value, y = ((const struct ranked *)b)->value;

        return (x > y) - (x < y);
}

static size_t add_ranked(struct ranked *to, const struct bench_metric *m, bool first)
{
        struct bench_metric rounds = stats_by_round(m);

        for (size_t i = 0; i < rounds.nr; i++)
                to[i] = (struct ranked){rounds.values[i].value, first};
        free(rounds.values);
        return rounds.nr;
}

/* The rank sum of the first sample (equal values share their mean rank), and the sum of t^3 - t over groups of t equal values. */
static double rank_sum(struct ranked *v, size_t n, double *ret_ties)
{
        double sum = 0;

        qsort(v, n, sizeof(*v), by_value);
        *ret_ties = 0;
        for (size_t i = 0, end; i < n; i = end) {
                double t;

                for (end = i + 1; end < n && v[end].value == v[i].value; end++)
                        ;
                t = (double)(end - i);
                *ret_ties += t * t * t - t;
                for (size_t k = i; k < end; k++)
                        sum += v[k].first ? ((double)(i + 1) + (double)end) / 2 : 0;
        }
        return sum;
}

double stats_rank_p(const struct bench_metric *a, const struct bench_metric *b)
{
        struct ranked *v;
        size_t         nr_a, nr_b;
        double         na, nb, n, ties, off, variance;

        if (!a || !b || a->nr == 0 || b->nr == 0)
                return 1;
        v = stats_alloc(a->nr + b->nr, sizeof(*v));
        nr_a = add_ranked(v, a, true);
        nr_b = add_ranked(v + nr_a, b, false);
        na = (double)nr_a;
        nb = (double)nr_b;
        n = na + nb;
        off = fabs(rank_sum(v, nr_a + nr_b, &ties) - na * (n + 1) / 2) - 0.5;
        free(v);
        variance = na * nb / 12 * (n + 1 - ties / (n * (n - 1)));
        if (!(variance > 0) || off <= 0)
                return 1;
        return erfc(off / sqrt(variance) / sqrt(2));
}
