/* The bootstrap: rounds drawn again, and the median of what they bring. A pool is sorted once; a resample is a count for each
 * round, so its median is one walk along the pool and no sort. */
#include "bench/stats/bootstrap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *stats_alloc(size_t nr, size_t size)
{
        void *p = calloc(nr ? nr : 1, size);

        if (!p) {
                fprintf(stderr, "rouse bench: no memory\n");
                exit(1);
        }
        return p;
}

static int by_round(const void *a, const void *b)
{
        const struct bench_value *x = a, *y = b;

        return x->round != y->round ? (x->round > y->round) - (x->round < y->round)
               : (x->value > y->value) - (x->value < y->value);
}

/* The values by round, and by size within one. The caller frees them. */
static struct bench_value *sorted_by_round(const struct bench_metric *m)
{
        struct bench_value *v = stats_alloc(m->nr, sizeof(*v));

        if (m->nr)
                memcpy(v, m->values, m->nr * sizeof(*v));
        qsort(v, m->nr, sizeof(*v), by_round);
        return v;
}

struct bench_metric stats_by_round(const struct bench_metric *m)
{
        struct bench_value *v = sorted_by_round(m);
        struct bench_metric ret = {.values = v};

        for (size_t i = 0, end; i < m->nr; i = end) {
                uint32_t round = v[i].round;

                for (end = i + 1; end < m->nr && v[end].round == round; end++)
                        ;
                v[ret.nr++] = (struct bench_value){round, (v[(i + end - 1) / 2].value + v[(i + end) / 2].value) / 2};
        }
        return ret;
}

struct entry {
        double   value;
        uint32_t round;
};

static int by_value(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;

        return x->value != y->value ? (x->value > y->value) - (x->value < y->value)
               : (x->round > y->round) - (x->round < y->round);
}

static void fill(struct stats_pool *p, struct entry *e, size_t nr, size_t nr_rounds)
{
        qsort(e, nr, sizeof(*e), by_value);
        *p = (struct stats_pool){nr, nr_rounds, stats_alloc(nr, sizeof(*p->value)), stats_alloc(nr, sizeof(*p->round))};
        for (size_t i = 0; i < nr; i++) {
                p->value[i] = e[i].value;
                p->round[i] = e[i].round;
        }
}

void stats_pool_fill(struct stats_pool *p, const struct bench_metric *m)
{
        struct bench_value *v = sorted_by_round(m);
        struct entry       *e = stats_alloc(m->nr, sizeof(*e));
        uint32_t            number = 0;

        for (size_t i = 0; i < m->nr; i++) {
                number += i > 0 && v[i].round != v[i - 1].round;
                e[i] = (struct entry){v[i].value, number};
        }
        fill(p, e, m->nr, m->nr ? number + 1 : 0);
        free(e);
        free(v);
}

void stats_pool_fill_ratios(struct stats_pool *p, const struct bench_metric *a, const struct bench_metric *b, bool *ret_defined)
{
        struct bench_metric ma = stats_by_round(a), mb = stats_by_round(b);
        struct entry       *e = stats_alloc(ma.nr, sizeof(*e));
        uint32_t            nr = 0;

        *ret_defined = true;
        for (size_t i = 0, k = 0; i < ma.nr; i++) {
                while (k < mb.nr && mb.values[k].round < ma.values[i].round)
                        k++;
                if (k == mb.nr || mb.values[k].round != ma.values[i].round)
                        continue;
                if (mb.values[k].value > 0)
                        e[nr] = (struct entry){ma.values[i].value / mb.values[k].value, nr};
                else
                        *ret_defined = false;
                nr++;
        }
        fill(p, e, nr, nr);
        free(e);
        free(ma.values);
        free(mb.values);
}

void stats_pool_free(struct stats_pool *p)
{
        free(p->value);
        free(p->round);
        *p = (struct stats_pool){0};
}

double stats_pool_median(const struct stats_pool *p, const uint32_t *times)
{
        uint64_t all = 0, seen = 0;
        size_t   i = 0;
        double   low;

        for (size_t k = 0; k < p->nr; k++)
                all += times[p->round[k]];
        for (seen = times[p->round[0]]; seen <= (all - 1) / 2; seen += times[p->round[i]])
                i++;
        low = p->value[i];
        while (seen <= all / 2)
                seen += times[p->round[++i]];
        return (low + p->value[i]) / 2;
}

static uint64_t next_random(uint64_t *x) /* splitmix64 */
{
        uint64_t z = (*x += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

void stats_draw(uint64_t *state, uint32_t *times, size_t nr)
{
        memset(times, 0, nr * sizeof(*times));
        for (size_t i = 0; i < nr; i++)
                times[(size_t)(((unsigned __int128)next_random(state) * nr) >> 64)]++;
}

/* Student's t that 97.5 % lie below, by the expansion of Cornish and Fisher: within 0.2 % from 5 degrees of freedom on. */
static double student_975(double freedom)
{
        double z = 1.959963984540054, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;

        return z + (z3 + z) / 4 / freedom + (5 * z5 + 16 * z3 + 3 * z) / 96 / pow(freedom, 2) +
               (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / 384 / pow(freedom, 3);
}

struct stats_interval stats_interval_of(double *v, size_t n, size_t nr_rounds)
{
        double freedom = (double)nr_rounds - 1, tail;

        if (nr_rounds < STATS_RUNS_CI)
                return (struct stats_interval){0};
        tail = erfc(sqrt((double)nr_rounds / freedom) * student_975(freedom) / sqrt(2)) / 2;
        stats_sort(v, n);
        return (struct stats_interval){true, stats_quantile(v, n, tail), stats_quantile(v, n, 1 - tail)};
}

struct stats_interval stats_interval_of_median(const struct stats_pool *p)
{
        uint32_t *times = stats_alloc(p->nr_rounds, sizeof(*times));
        double   *medians = stats_alloc(STATS_RESAMPLES, sizeof(*medians));
        uint64_t  state = STATS_SEED;
        struct stats_interval ci;

        for (size_t i = 0; i < STATS_RESAMPLES; i++) {
                stats_draw(&state, times, p->nr_rounds);
                medians[i] = stats_pool_median(p, times);
        }
        ci = stats_interval_of(medians, STATS_RESAMPLES, p->nr_rounds);
        free(medians);
        free(times);
        return ci;
}
