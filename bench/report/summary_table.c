/* The tables of a summary: p50, p95, ratios with their intervals, and a few columns beside them. */
#include "bench/report/summary.h"

#include "bench/report/figure.h"
#include "bench/report/text.h"
#include "bench/stats/stats.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <stdlib.h>
#include <string.h>

/* Of those that at least half of the table's arms have, in this order. */
static const char *const beside[] = {"t6", "answered", "faults.demand", "rss.end", "memory.pss", "p99", "cpu_per_touch",
                                     "pager_cpu_per_page"};
#define BESIDE_MAX 3
#define DIGITS_END 1e5 /* where a figure is too long to be read */

/* Groups that share their columns. */
struct table {
        const struct bench_group **groups;
        size_t                     nr_groups;
        const char                *first;
        struct figure_scale        first_scale;
        bool                       has_p95;
        const char                *references[2]; /* of all groups; NULL: no more */
        bool                       own_references; /* each group has its own instead: a cell names what it is to */
        const char                *ids[BESIDE_MAX];
        struct figure_scale        scales[BESIDE_MAX];
        size_t                     nr_ids;
};

void summary_cell(FILE *to, const char *text)
{
        static const struct bench_look plain = {.columns = 100, .utf8 = true};
        _cleanup_free_ char *clean = text_clean(text, &plain);

        for (const char *s = clean; *s; s++) {
                if (strchr("|<>*_`[]\\", *s))
                        fputc('\\', to);
                fputc(*s, to);
        }
}

/* --- which groups stand together --- */

/* How much of "web, cold" is "web". */
static size_t stem_length(const struct bench_group *g)
{
        size_t len = strlen(g->name), tail = g->cache ? strlen(g->cache) + 2 : 0;
        const char *end = g->name + len - tail;

        return tail && len > tail && strncmp(end, ", ", 2) == 0 && strcmp(end + 2, g->cache) == 0 ? len - tail : len;
}

static bool is_of_interest(const struct bench_result *r, const struct bench_group *g)
{
        const struct bench_metric *m = group_first_metric(g);
        bool any = false;

        for (size_t i = 0; i < g->nr_arms; i++)
                any = any || (!g->arms[i].control && g->arms[i].nr_metrics > 0);
        /* touches in order: most find their page, what a fault costs is said by those of chance */
        return any && m && (r->kind != BENCH_FAULTS || strcmp(m->id, "mean") != 0);
}

static bool stand_together(const struct bench_result *r, const struct bench_group *a, const struct bench_group *b)
{
        size_t len = stem_length(a);

        if (strcmp(group_first_metric(a)->id, group_first_metric(b)->id) != 0)
                return false;
        return r->kind != BENCH_RESTORE || (len == stem_length(b) && strncmp(a->name, b->name, len) == 0);
}

/* --- columns --- */

static bool is_measured(const struct bench_group *g, const char *arm, const char *id)
{
        const struct bench_arm *a = arm ? bench_arm_find(g, arm) : NULL;
        double median;

        return a && stats_median(bench_metric_find(a, id), &median);
}

static bool any_measured(const struct table *t, const char *arm)
{
        for (size_t i = 0; i < t->nr_groups; i++)
                if (is_measured(t->groups[i], arm, t->first))
                        return true;
        return false;
}

static bool differ(const char *a, const char *b)
{
        return a && b && strcmp(a, b) != 0;
}

static void choose_references(struct table *t)
{
        const struct bench_group *g = t->groups[0];
        size_t nr = 0;

        for (size_t i = 1; i < t->nr_groups; i++)
                for (size_t k = 0; k < ARRAY_LEN(g->references); k++)
                        t->own_references |= differ(g->references[k], t->groups[i]->references[k]);
        for (size_t k = 0; k < ARRAY_LEN(g->references) && !t->own_references; k++)
                if (any_measured(t, g->references[k]))
                        t->references[nr++] = g->references[k];
}

/* What the table's arms have of a metric. */
struct extent {
        const char *unit; /* NULL: nobody has it */
        size_t      nr, nr_arms;
        double      smallest, largest; /* medians; smallest: above 0 */
};

static struct extent extent_of(const struct table *t, const char *id)
{
        struct extent x = {.unit = NULL};

        for (size_t i = 0; i < t->nr_groups; i++) {
                const struct bench_group *g = t->groups[i];

                for (size_t a = 0; a < g->nr_arms; a++) {
                        const struct bench_metric *m = bench_metric_find(&g->arms[a], id);
                        double median;

                        x.nr_arms += g->arms[a].nr_metrics > 0;
                        if (!stats_median(m, &median))
                                continue;
                        x.nr++;
                        x.unit = m->unit;
                        x.largest = MAX(x.largest, median);
                        x.smallest = median > 0 && (x.smallest <= 0 || median < x.smallest) ? median : x.smallest;
                }
        }
        return x;
}

/* The unit in which the smallest reads well, unless the largest would have too many digits. */
static struct figure_scale scale_of(const struct extent *x)
{
        struct figure_scale small = figure_scale_of(x->unit, x->smallest);

        return x->largest / small.divide < DIGITS_END ? small : figure_scale_of(x->unit, x->largest);
}

static void choose_columns(struct table *t)
{
        struct extent x;

        t->first = group_first_metric(t->groups[0])->id;
        x = extent_of(t, t->first);
        t->first_scale = scale_of(&x);
        choose_references(t);
        for (size_t i = 0; i < t->nr_groups; i++)
                for (size_t a = 0; a < t->groups[i]->nr_arms; a++) {
                        struct stats_summary s;

                        t->has_p95 |= stats_summarize(bench_metric_find(&t->groups[i]->arms[a], t->first), &s) && s.has_p95;
                }
        for (size_t i = 0; i < ARRAY_LEN(beside) && t->nr_ids < BESIDE_MAX; i++) {
                x = extent_of(t, beside[i]);
                if (!x.unit || 2 * x.nr < x.nr_arms || strcmp(beside[i], t->first) == 0)
                        continue;
                t->ids[t->nr_ids] = beside[i];
                t->scales[t->nr_ids++] = scale_of(&x);
        }
}

/* --- rows --- */

static void put_heading(FILE *to, const char *id, const struct figure_scale *scale)
{
        fprintf(to, " %s%s%s |", metric_title(id), scale->unit[0] ? ", " : "", scale->unit);
}

static void put_headings(FILE *to, const struct table *t)
{
        size_t nr = 2 + (t->nr_groups > 1) + t->has_p95 + t->own_references + t->nr_ids;

        fputs(t->nr_groups > 1 ? "| | |" : "| |", to);
        put_heading(to, t->first, &t->first_scale);
        if (t->has_p95)
                fprintf(to, " p95, %s |", t->first_scale.unit);
        if (t->own_references)
                fputs(" against |", to);
        for (size_t i = 0; i < ARRAY_LEN(t->references) && t->references[i]; i++, nr++) {
                fputs(" against ", to);
                summary_cell(to, t->references[i]);
                fputs(" |", to);
        }
        for (size_t i = 0; i < t->nr_ids; i++)
                put_heading(to, t->ids[i], &t->scales[i]);
        fputs("\n|", to);
        for (size_t i = 0; i < nr; i++)
                fputs("---|", to);
        fputc('\n', to);
}

static void put_first(FILE *to, const struct table *t, const struct bench_metric *m)
{
        struct stats_summary s;
        char v[FIGURE_BYTES], low[FIGURE_BYTES], high[FIGURE_BYTES], p95[FIGURE_BYTES] = "";

        if (!stats_summarize(m, &s)) {
                fputs(t->has_p95 ? " | |" : " |", to);
                return;
        }
        figure_value(v, s.p50, &t->first_scale);
        figure_value(low, s.ci.low, &t->first_scale);
        figure_value(high, s.ci.high, &t->first_scale);
        fprintf(to, s.ci.known ? " %s (%s – %s) |" : " %s |", v, low, high);
        if (s.has_p95)
                figure_value(p95, s.p95, &t->first_scale);
        if (t->has_p95)
                fprintf(to, " %s |", p95);
}

/* Small ones by what tells them from nothing. */
static void ratio_text(char buf[FIGURE_BYTES], double ratio)
{
        struct figure_scale one = {1, ""};

        if (ratio < 0.0995)
                snprintf(buf, FIGURE_BYTES, ratio < 0.00995 ? "%.2g" : "%.3f", ratio);
        else
                figure_value(buf, ratio, &one);
}

/* Bold: these runs tell the two apart. */
static void put_ratio(FILE *to, const struct table *t, const struct bench_group *g, const struct bench_arm *a,
                      const char *reference)
{
        const struct bench_arm *b = reference ? bench_arm_find(g, reference) : NULL;
        struct stats_ratio r = stats_ratio_paired(bench_metric_find(a, t->first), b ? bench_metric_find(b, t->first) : NULL);
        char v[FIGURE_BYTES], low[FIGURE_BYTES], high[FIGURE_BYTES];

        if (r.verdict == STATS_NO_RATIO || a == b) {
                fputs(a == b && r.verdict != STATS_NO_RATIO ? " 1 |" : " |", to);
                return;
        }
        ratio_text(v, r.ratio);
        fprintf(to, stats_told_apart(&r) ? " **%s**" : " %s", v);
        ratio_text(low, r.ci.low);
        ratio_text(high, r.ci.high);
        if (r.ci.known)
                fprintf(to, " (%s – %s)", low, high);
        if (t->own_references) {
                fputs(" of ", to);
                summary_cell(to, reference);
        }
        fputs(" |", to);
}

/* In its group's first row: what tells the group from those beside it. */
static void put_label(FILE *to, const struct bench_result *r, const struct bench_group *g, bool is_first)
{
        fputs("|", to);
        if (is_first) {
                fputs(" **", to);
                summary_cell(to, r->kind == BENCH_RESTORE && g->cache ? g->cache : g->name);
                fputs("**", to);
        }
        fputc(' ', to);
}

static void put_arm(FILE *to, const struct table *t, const struct bench_group *g, const struct bench_arm *a)
{
        fputs("| ", to);
        summary_cell(to, a->name);
        fputs(" |", to);
        put_first(to, t, bench_metric_find(a, t->first));
        if (t->own_references)
                put_ratio(to, t, g, a, g->references[0]);
        for (size_t i = 0; i < ARRAY_LEN(t->references) && t->references[i]; i++)
                put_ratio(to, t, g, a, t->references[i]);
        for (size_t i = 0; i < t->nr_ids; i++) {
                char v[FIGURE_BYTES] = "";
                double median;

                if (stats_median(bench_metric_find(a, t->ids[i]), &median))
                        figure_value(v, median, &t->scales[i]);
                fprintf(to, " %s |", v);
        }
        fputc('\n', to);
}

static void put_table(FILE *to, const struct bench_result *r, struct table *t)
{
        choose_columns(t);
        fputc('\n', to);
        if (t->nr_groups == 1 || r->kind == BENCH_RESTORE) {
                const struct bench_group *g = t->groups[0];
                size_t len = t->nr_groups == 1 ? strlen(g->name) : stem_length(g);
                _cleanup_free_ char *name = text_format("%.*s", (int)len, g->name);

                fputs("**", to);
                summary_cell(to, name);
                fputs("**. ", to);
        }
        fprintf(to, "%s:\n\n", metric_long_title(t->first));
        put_headings(to, t);
        for (size_t i = 0; i < t->nr_groups; i++) {
                bool is_first = true;

                for (size_t a = 0; a < t->groups[i]->nr_arms; a++) {
                        if (!t->groups[i]->arms[a].nr_metrics)
                                continue;
                        if (t->nr_groups > 1)
                                put_label(to, r, t->groups[i], is_first);
                        is_first = false;
                        put_arm(to, t, t->groups[i], &t->groups[i]->arms[a]);
                }
        }
}

void summary_tables(FILE *to, const struct bench_result *r)
{
        _cleanup_free_ const struct bench_group **v = calloc(r->nr_groups + 1, sizeof(void *));
        _cleanup_free_ bool *done = calloc(r->nr_groups + 1, sizeof(*done));

        for (size_t i = 0; v && done && i < r->nr_groups; i++) {
                struct table t = {.groups = v};

                for (size_t k = i; k < r->nr_groups; k++) {
                        const struct bench_group *g = &r->groups[k];

                        if (done[k] || !is_of_interest(r, g) || (t.nr_groups && !stand_together(r, v[0], g)))
                                continue;
                        done[k] = true;
                        v[t.nr_groups++] = g;
                }
                if (t.nr_groups)
                        put_table(to, r, &t);
        }
}
