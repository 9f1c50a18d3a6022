/* The table: an id is for ever (bench/report's schema lists them). */
#include "bench/run/metrics.h"

const struct metric_kind metric_kinds[METRICS] = {
        [METRIC_T3] = {"t3", "us", BENCH_LOWER},
        [METRIC_T4] = {"t4", "us", BENCH_LOWER},
        [METRIC_CPU] = {"cpu", "us", BENCH_LOWER},
        [METRIC_MAJOR_FAULTS] = {"major_faults", "count", BENCH_LOWER},
        [METRIC_RSS_T3] = {"rss.t3", "bytes", BENCH_LOWER},
        [METRIC_RSS_END] = {"rss.end", "bytes", BENCH_LOWER},
        [METRIC_RSS_PEAK] = {"rss_peak", "bytes", BENCH_LOWER},
        [METRIC_PSS_END] = {"pss.end", "bytes", BENCH_LOWER},
        [METRIC_T1] = {"t1", "us", BENCH_LOWER},
        [METRIC_T2] = {"t2", "us", BENCH_LOWER},
        [METRIC_T5] = {"t5", "us", BENCH_LOWER},
        [METRIC_T6] = {"t6", "us", BENCH_LOWER},
        [METRIC_T2_LESS_SLOTS] = {"t2.less_slots", "us", BENCH_LOWER},
        [METRIC_T3_LEDGER] = {"t3.ledger", "us", BENCH_LOWER},
        [METRIC_T4_LEDGER] = {"t4.ledger", "us", BENCH_LOWER},
        [METRIC_DEMAND] = {"faults.demand", "pages", BENCH_LOWER},
        [METRIC_AROUND] = {"faults.around", "pages", BENCH_NEITHER},
        [METRIC_REPLAY] = {"faults.replay", "pages", BENCH_NEITHER},
        [METRIC_FILL] = {"faults.fill", "pages", BENCH_NEITHER},
        [METRIC_ZERO] = {"faults.zero", "pages", BENCH_NEITHER},
        [METRIC_INSTALLED] = {"bytes.installed", "bytes", BENCH_NEITHER},
        [METRIC_READ] = {"bytes.read", "bytes", BENCH_NEITHER},
        [METRIC_LOST] = {"lost_pages", "pages", BENCH_LOWER},
        [METRIC_STALL] = {"stall", "us", BENCH_LOWER},
        [METRIC_PAGER_CPU] = {"pager_cpu", "us", BENCH_LOWER},
};

void metrics_keep(struct bench_arm *a, uint32_t round, const struct metric_values *m)
{
        for (int i = 0; i < METRICS; i++)
                if (m->has[i])
                        bench_value_add(bench_metric_get(a, metric_kinds[i].id, metric_kinds[i].unit, metric_kinds[i].better),
                                        round, m->v[i]);
}
