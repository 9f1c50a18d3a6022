/* The distributions: a row for each arm, a dot for each run. */
#include "bench/report/html_parts.h"

#include "bench/stats/stats.h"

#include <math.h>

enum { HEIGHT = 44, DOTS_WITH_TITLES_MAX = 200 };

static void value_range(const struct bench_group *g, const char *id, double *ret_smallest, double *ret_largest)
{
        *ret_smallest = INFINITY;
        *ret_largest = 0;
        for (size_t i = 0; i < g->nr_arms; i++) {
                const struct bench_metric *m = bench_metric_find(&g->arms[i], id);

                for (size_t k = 0; m && k < m->nr; k++) {
                        *ret_smallest = fmin(*ret_smallest, m->values[k].value);
                        *ret_largest = fmax(*ret_largest, m->values[k].value);
                }
        }
}

/* Up and down a little, so that equal values are seen; from the round, so that the same run stands at the same height in every
 * arm. */
static double height_of(uint32_t round)
{
        return 9 + (double)(round * 11 % 27);
}

static void dots(FILE *to, const struct bench_metric *m, const struct axis *a, const struct figure_scale *scale)
{
        bool titles = m->nr <= DOTS_WITH_TITLES_MAX;
        char buf[FIGURE_BYTES];

        fputs("<g class=\"dots\">", to);
        if (!titles)
                fputs("<path d=\"", to);
        for (size_t i = 0; i < m->nr; i++) {
                double x = axis_at(a, m->values[i].value) * 1000, y = height_of(m->values[i].round);

                figure_value(buf, m->values[i].value, scale);
                if (!titles) {
                        fprintf(to, "M%.1f %.0fh0", x, y);
                        continue;
                }
                fprintf(to, "<path d=\"M%.1f %.0fh0\"><title>round %u: %s ", x, y, m->values[i].round, buf);
                html_text(to, scale->unit);
                fputs("</title></path>", to);
        }
        fputs(titles ? "</g>" : "\"/></g>", to);
}

static void strip(FILE *to, const struct bench_arm *arm, const struct bench_metric *m, const struct stats_summary *s, const struct axis *a,
                  const struct figure_scale *scale)
{
        double q1 = axis_at(a, s->q1) * 1000, q3 = axis_at(a, s->q3) * 1000, p50 = axis_at(a, s->p50) * 1000;
        char   v[5][FIGURE_BYTES];

        figure_value(v[0], s->p50, scale);
        figure_value(v[1], s->min, scale);
        figure_value(v[2], s->max, scale);
        figure_value(v[3], s->ci.low, scale);
        figure_value(v[4], s->ci.high, scale);
        fputs("<svg class=\"strip\" viewBox=\"0 0 1000 44\" preserveAspectRatio=\"none\" role=\"img\"", to);
        if (s->ci.known)
                html_label(to, "%s: median %s %s, 95 %% interval %s to %s; %zu runs from %s to %s", arm->name, v[0], scale->unit,
                           v[3], v[4], s->runs, v[1], v[2]);
        else
                html_label(to, "%s: median %s %s, too few runs for an interval; %zu runs from %s to %s", arm->name, v[0],
                           scale->unit, s->runs, v[1], v[2]);
        fputc('>', to);
        axis_grid(to, a, HEIGHT);
        fprintf(to, "<rect class=\"box\" x=\"%.1f\" y=\"6\" width=\"%.1f\" height=\"32\"/>", q1, fmax(q3 - q1, 0.5));
        dots(to, m, a, scale);
        if (s->ci.known)
                fprintf(to, "<path class=\"ci\" d=\"M%.1f 41h%.1f\"/>", axis_at(a, s->ci.low) * 1000,
                        (axis_at(a, s->ci.high) - axis_at(a, s->ci.low)) * 1000);
        fprintf(to, "<path class=\"median\" d=\"M%.1f 3v38\"/></svg>", p50);
}

static void row(FILE *to, const struct bench_group *g, const struct bench_arm *arm, const char *id, const struct axis *a,
                const struct figure_scale *scale)
{
        const struct bench_metric *m = bench_metric_find(arm, id);
        struct stats_summary       s;
        bool                       known = stats_summarize(m, &s), reference = false;
        char                       buf[FIGURE_BYTES] = "no run";

        for (size_t i = 0; i < 2; i++)
                reference |= g->references[i] && bench_arm_find(g, g->references[i]) == arm;
        fprintf(to, "<div class=\"row%s\"><div class=\"arm\">",
                reference ? " reference" : arm->control ? " control" : arm->peer ? " peer" : "");
        html_name(to, arm->name);
        fprintf(to, "%s</div>", reference ? " <span class=\"tag\">reference</span>" : arm->control ? " <span class=\"tag\">control</span>"
                                  : arm->peer ? " <span class=\"tag\">peer</span>" : "");
        if (known) {
                strip(to, arm, m, &s, a, scale);
                figure_value(buf, s.p50, scale);
        } else {
                fputs("<div class=\"strip\"></div>", to);
        }
        fprintf(to, "<div class=\"value\" aria-hidden=\"true\">%s</div></div>\n", buf);
}

void html_runs(FILE *to, const struct bench_group *g, const struct bench_metric *first, size_t number)
{
        struct figure_scale scale = figure_scale_of(first->unit, group_largest(g, first->id));
        double              smallest, largest;
        struct axis         a;

        value_range(g, first->id, &smallest, &largest);
        a = axis_of(smallest, largest, 40, scale.divide);
        fprintf(to, "<figure id=\"runs-%zu\">\n<figcaption><h3>Every run</h3><p>", number);
        html_text(to, metric_long_title(first->id));
        fputs(scale.unit[0] ? ", " : "", to);
        html_text(to, scale.unit);
        fprintf(to, "%s. A dot is a run; the box holds the middle half of them, the line is the median (its figure at the end of the row), the bar below its 95&nbsp;%% interval%s."
                    "</p></figcaption>\n<div class=\"rows\">\n",
                first->better == BENCH_LOWER ? "; less is better" : first->better == BENCH_HIGHER ? "; more is better" : "", a.log ? "; the scale is logarithmic" : "");
        for (size_t i = 0; i < g->nr_arms; i++)
                row(to, g, &g->arms[i], first->id, &a, &scale);
        fputs("<div class=\"row axis-row\"><div class=\"arm\"></div>", to);
        axis_figures(to, &a, &scale);
        fputs("<div class=\"value\"></div></div></div>\n</figure>\n", to);
}
