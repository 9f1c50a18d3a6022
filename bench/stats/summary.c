/* One metric of one arm. */
#include "bench/stats/bootstrap.h"

bool stats_summarize(const struct bench_metric *m, struct stats_summary *ret)
{
        struct stats_pool p;

        *ret = (struct stats_summary){0};
        if (!m || m->nr == 0)
                return false;
        stats_pool_fill(&p, m);
        *ret = (struct stats_summary){
                .runs = p.nr_rounds,
                .min = p.value[0],
                .q1 = stats_quantile(p.value, p.nr, 0.25),
                .p50 = stats_quantile(p.value, p.nr, 0.5),
                .q3 = stats_quantile(p.value, p.nr, 0.75),
                .max = p.value[p.nr - 1],
                .has_p95 = p.nr_rounds >= STATS_RUNS_P95,
                .has_p99 = p.nr_rounds >= STATS_RUNS_P99,
        };
        if (ret->has_p95)
                ret->p95 = stats_quantile(p.value, p.nr, 0.95);
        if (ret->has_p99)
                ret->p99 = stats_quantile(p.value, p.nr, 0.99);
        if (p.nr_rounds >= STATS_RUNS_CI)
                ret->ci = stats_interval_of_median(&p);
        stats_pool_free(&p);
        return true;
}

bool stats_median(const struct bench_metric *m, double *ret)
{
        struct stats_pool p;

        if (!m || m->nr == 0)
                return false;
        stats_pool_fill(&p, m);
        *ret = stats_quantile(p.value, p.nr, 0.5);
        stats_pool_free(&p);
        return true;
}
