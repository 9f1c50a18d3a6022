/* Figures, their units, and the names of what is measured. */
#include "bench/report/figure.h"

#include "core/base/units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct step {
        const char *unit; /* of the metric */
        double      from; /* the scale is for values from here on */
        struct figure_scale scale;
};

static const struct step steps[] = {
        {"us", 1e7, {1e6, "s"}}, {"us", 1e3, {1e3, "ms"}}, {"us", 0, {1, "us"}},
        {"ns", 1e10, {1e9, "s"}}, {"ns", 1e6, {1e6, "ms"}}, {"ns", 1e3, {1e3, "us"}}, {"ns", 0, {1, "ns"}},
        {"bytes", 1073741824, {1073741824, "GiB"}}, {"bytes", 1048576, {1048576, "MiB"}}, {"bytes", 1024, {1024, "KiB"}}, {"bytes", 0, {1, "B"}},
        {"bytes/s", 1073741824, {1073741824, "GiB/s"}}, {"bytes/s", 1048576, {1048576, "MiB/s"}}, {"bytes/s", 1024, {1024, "KiB/s"}},
        {"bytes/s", 0, {1, "B/s"}},
        {"pages", 0, {1, "pages"}}, {"count", 0, {1, ""}}, {"ratio", 0, {1, ""}},
};

struct figure_scale figure_scale_of(const char *unit, double largest)
{
        for (size_t i = 0; i < ARRAY_LEN(steps); i++)
                if (strcmp(steps[i].unit, unit) == 0 && fabs(largest) >= steps[i].from)
                        return steps[i].scale;
        return (struct figure_scale){1, unit};
}

void figure_value(char buf[FIGURE_BYTES], double v, const struct figure_scale *scale)
{
        double x = v / scale->divide, size = fabs(x);

        if (x == 0)
                snprintf(buf, FIGURE_BYTES, "0");
        else if (size >= 1e7)
                snprintf(buf, FIGURE_BYTES, "%.3g", x);
        else if (x == floor(x) || size >= 99.95)
                snprintf(buf, FIGURE_BYTES, "%.0f", x);
        else
                snprintf(buf, FIGURE_BYTES, "%.*f", size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3, x);
}

void figure_alone(char buf[2 * FIGURE_BYTES], double v, const char *unit)
{
        struct figure_scale scale = figure_scale_of(unit, v);
        char                value[FIGURE_BYTES];

        figure_value(value, v, &scale);
        snprintf(buf, 2 * FIGURE_BYTES, "%s%s%.20s", value, scale.unit[0] ? " " : "", scale.unit);
}

struct title {
        const char *id, *title, *full;
        bool        detail;
};

/* In the table's order. */
static const struct title titles[] = {
        {"t1", "T1", "T1: KVM, memory and state are set", false},
        {"t2", "T2", "T2: the guest is entered", false},
        {"t2.less_slots", "T2-slots", "T2 without the bare calls that set memory slots", true},
        {"t3", "T3", "T3: first byte of the guest", false},
        {"t3.ledger", "T3 own", "T3 as rouse's own ledger has it", true},
        {"t4", "T4", "T4: first useful work of the guest", false},
        {"t4.ledger", "T4 own", "T4 as rouse's own ledger has it", true},
        {"t5", "T5", "T5: the recorded working set is resident", false},
        {"t6", "T6", "T6: the whole image is resident", false},
        {"faults.demand", "demand", "Pages that a fault waited for", false},
        {"faults.around", "around", "Pages brought beside one that a fault waited for", false},
        {"faults.replay", "replay", "Pages brought ahead, because hints named them", false},
        {"faults.fill", "fill", "Pages brought in the background", false},
        {"faults.zero", "zero", "Pages of zeros", false},
        {"faults.host", "host", "Pages that the host kernel brought", false},
        {"major_faults", "majflt", "Major faults of the host kernel", false},
        {"bytes.installed", "installed", "Bytes put into guest memory", false},
        {"bytes.read", "read", "Bytes read from files", false},
        {"lost_pages", "lost", "Pages that were lost", false},
        {"stall", "stall", "Time that vCPUs waited for pages, summed", false},
        {"cpu", "CPU", "CPU time of the whole process tree", false},
        {"pager_cpu", "pager", "CPU time of the pager", false},
        {"rss.t3", "RSS@T3", "Resident memory at T3", false},
        {"rss.end", "RSS end", "Resident memory at the end", false},
        {"rss_peak", "RSS peak", "Largest resident memory", false},
        {"pss.end", "PSS", "Proportional memory (PSS) at the end", false},
        {"pss", "PSS", "Proportional memory (PSS)", false},
        {"rss.climb", "climb", "Resident memory that came after T3, although the guest touched nothing", false},
        {"hints.recall", "recall", "Share of the touched pages that the hints named", false},
        {"hints.precision", "precision", "Share of the hints' pages that were touched", false},
        {"hints.wasted", "wasted", "Bytes that the hints brought for nothing", false},
        {"burst", "burst", "The whole burst: from the first start to the last answer", false},
        {"answered", "answered", "Clones that answered", false},
        {"rate", "rate", "How much in a second", false},
        {"memory.cgroup", "cgroup", "Memory of all clones by their cgroup", false},
        {"memory.pss", "PSS", "Memory of all clones by PSS, a template charged once", false},
        {"memory.drop", "drop", "Memory of all clones by the drop of MemAvailable", false},
        {"memory.template", "template", "Memory of the template, which the clones share", false},
        {"slope.cgroup", "each:cg", "Memory of each further clone by cgroup", false},
        {"slope.pss", "each:PSS", "Memory of each further clone by PSS", false},
        {"slope.drop", "each:drop", "Memory of each further clone by the drop of MemAvailable", false},
        {"intercept.cgroup", "all:cg", "Memory for all clones together by cgroup", false},
        {"intercept.pss", "all:PSS", "Memory for all clones together by PSS", false},
        {"intercept.drop", "all:drop", "Memory for all clones together by the drop of MemAvailable", false},
        {"p50", "p50", "Half of a round's touches took no longer", false},
        {"p99", "p99", "99 of 100 touches of a round took no longer", false},
        {"p999", "p99.9", "999 of 1000 touches of a round took no longer", false},
        {"mean", "mean", "A round's touches, on average", false},
        {"cpu_per_touch", "CPU/touch", "CPU time of all threads, a touch", false},
        {"pager_cpu_per_touch", "pager/touch", "CPU time of whoever answers, a touch", false},
        {"pager_cpu_per_page", "pager/page", "CPU time of the pager, a page", false},
};

static const struct title *find(const char *id)
{
        for (size_t i = 0; i < ARRAY_LEN(titles); i++)
                if (strcmp(titles[i].id, id) == 0)
                        return &titles[i];
        return NULL;
}

const char *metric_title(const char *id)
{
        const struct title *t = find(id);

        return t ? t->title : id;
}

const char *metric_long_title(const char *id)
{
        const struct title *t = find(id);

        return t ? t->full : id;
}

bool metric_is_detail(const char *id)
{
        const struct title *t = find(id);

        return t && t->detail;
}

static size_t place_of(const char *id)
{
        const struct title *t = find(id);

        return t ? (size_t)(t - titles) : ARRAY_LEN(titles);
}

/* Sorted in; known ones by the table, others behind them as they come. */
static size_t insert(const char *ret[GROUP_METRICS_MAX], size_t n, const char *id)
{
        size_t at = n;

        for (size_t i = 0; i < n; i++)
                if (strcmp(ret[i], id) == 0)
                        return n;
        if (n == GROUP_METRICS_MAX)
                return n;
        while (at > 0 && place_of(ret[at - 1]) > place_of(id)) {
                ret[at] = ret[at - 1];
                at--;
        }
        ret[at] = id;
        return n + 1;
}

size_t group_metrics(const struct bench_group *g, const char *ret[GROUP_METRICS_MAX])
{
        size_t n = 0;

        for (size_t a = 0; a < g->nr_arms; a++)
                for (size_t m = 0; m < g->arms[a].nr_metrics; m++)
                        if (g->arms[a].metrics[m].nr > 0)
                                n = insert(ret, n, g->arms[a].metrics[m].id);
        return n;
}

const struct bench_metric *group_first_metric(const struct bench_group *g)
{
        for (size_t a = 0; g->first_metric && a < g->nr_arms; a++) {
                const struct bench_metric *m = bench_metric_find(&g->arms[a], g->first_metric);

                if (m && m->nr > 0)
                        return m;
        }
        return NULL;
}

double group_largest(const struct bench_group *g, const char *id)
{
        double largest = 0;

        for (size_t a = 0; a < g->nr_arms; a++) {
                double v;

                if (stats_median(bench_metric_find(&g->arms[a], id), &v) && fabs(v) > largest)
                        largest = fabs(v);
        }
        return largest;
}
