/* The tables of the page; the same figures as on the terminal. */
#include "bench/report/html_parts.h"

#include "bench/stats/stats.h"

static void open_table(FILE *to, const char *id, size_t number, const char *title)
{
        fprintf(to, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"%s-%zu\">\n<table>\n<caption><span id=\"%s-%zu\">%s</span></caption>\n<thead><tr>", id, number,
                id, number, title);
}

static void close_table(FILE *to)
{
        fputs("</tbody>\n</table>\n</div>\n", to);
}

static void head(FILE *to, const char *text)
{
        fputs("<th scope=\"col\">", to);
        html_text(to, text);
        fputs("</th>", to);
}

static void row_head(FILE *to, const struct bench_arm *a)
{
        fputs("<tr><th scope=\"row\">", to);
        html_name(to, a->name);
        if (a->control || a->peer)
                fprintf(to, " <span class=\"tag\">%s</span>", a->control ? "control" : "peer");
        fputs("</th>", to);
}

static void cell(FILE *to, bool known, double v, const struct figure_scale *scale)
{
        char buf[FIGURE_BYTES];

        if (!known) {
                fputs("<td><span class=\"none\" role=\"img\" aria-label=\"none\">&ndash;</span></td>", to);
                return;
        }
        figure_value(buf, v, scale);
        fprintf(to, "<td>%s</td>", buf);
}

static void interval(FILE *to, const struct stats_interval *ci, const struct figure_scale *scale)
{
        char low[FIGURE_BYTES], high[FIGURE_BYTES];

        figure_value(low, ci->low, scale);
        figure_value(high, ci->high, scale);
        fprintf(to, "%s&#8239;to&#8239;%s", low, high);
}

static void ratio_cell(FILE *to, const struct bench_arm *a, const struct bench_arm *ref, const char *id)
{
        static const struct figure_scale plain = {1, ""};
        struct stats_ratio               r = stats_ratio_paired(bench_metric_find(a, id), bench_metric_find(ref, id));
        char                             buf[FIGURE_BYTES];

        if (a == ref) {
                fputs("<td>1</td>", to);
                return;
        }
        if (a->control || r.verdict == STATS_NO_RATIO) {
                cell(to, false, 0, &plain);
                return;
        }
        figure_value(buf, r.ratio, &plain);
        fprintf(to, stats_told_apart(&r) ? "<td><b>%s</b> <span class=\"ci-text\">" : "<td>%s <span class=\"ci-text\">", buf);
        if (r.verdict == STATS_TOO_FEW)
                fputs("too few runs", to);
        else
                interval(to, &r.ci, &plain);
        fprintf(to, "%s</span></td>", r.verdict == STATS_ALIKE ? ", can&rsquo;t tell" : "");
}

static void first_table(FILE *to, const struct bench_group *g, const struct bench_metric *first, size_t number)
{
        struct figure_scale scale = figure_scale_of(first->unit, group_largest(g, first->id));

        fprintf(to, "<h3>In figures</h3>\n");
        open_table(to, "first", number,
                   "Medians, their 95&nbsp;% intervals, and how many times a reference&rsquo;s it was in each round");
        head(to, "arm");
        fprintf(to, "<th scope=\"col\">p50%s", scale.unit[0] ? ", " : "");
        html_text(to, scale.unit);
        fputs("</th><th scope=\"col\">95&nbsp;% interval</th><th scope=\"col\">p95</th><th scope=\"col\">p99</th><th scope=\"col\">runs</th>", to);
        for (size_t k = 0; k < 2; k++)
                if (g->references[k] && bench_arm_find(g, g->references[k])) {
                        fputs("<th scope=\"col\">times ", to);
                        html_name(to, g->references[k]);
                        fputs("</th>", to);
                }
        fputs("</tr></thead>\n<tbody>\n", to);
        for (size_t i = 0; i < g->nr_arms; i++) {
                struct stats_summary s;
                bool                 known = stats_summarize(bench_metric_find(&g->arms[i], first->id), &s);

                row_head(to, &g->arms[i]);
                cell(to, known, s.p50, &scale);
                fputs(s.ci.known ? "<td>" : "", to);
                if (s.ci.known)
                        interval(to, &s.ci, &scale);
                else
                        cell(to, false, 0, &scale);
                fputs(s.ci.known ? "</td>" : "", to);
                cell(to, s.has_p95, s.p95, &scale);
                cell(to, s.has_p99, s.p99, &scale);
                fprintf(to, "<td>%zu</td>", s.runs);
                for (size_t k = 0; k < 2; k++) {
                        const struct bench_arm *ref = g->references[k] ? bench_arm_find(g, g->references[k]) : NULL;

                        if (ref)
                                ratio_cell(to, &g->arms[i], ref, first->id);
                }
                fputs("</tr>\n", to);
        }
        close_table(to);
}

static const char *unit_of(const struct bench_group *g, const char *id)
{
        for (size_t i = 0; i < g->nr_arms; i++)
                if (bench_metric_find(&g->arms[i], id))
                        return bench_metric_find(&g->arms[i], id)->unit;
        return "";
}

/* A row for each metric: a phone is higher than it is wide. */
static void cost_row(FILE *to, const struct bench_group *g, const char *id)
{
        struct figure_scale scale = figure_scale_of(unit_of(g, id), group_largest(g, id));

        fputs("<tr><th scope=\"row\">", to);
        html_text(to, metric_title(id));
        fputs(scale.unit[0] ? ", " : "", to);
        html_text(to, scale.unit);
        if (metric_long_title(id) != id) {
                fputs(" <span class=\"long\">", to);
                html_text(to, metric_long_title(id));
                fputs("</span>", to);
        }
        fputs("</th>", to);
        for (size_t i = 0; i < g->nr_arms; i++) {
                double v = 0;
                bool   known = stats_median(bench_metric_find(&g->arms[i], id), &v);

                cell(to, known, v, &scale);
        }
        fputs("</tr>\n", to);
}

static void cost_table(FILE *to, const struct bench_group *g, const struct bench_metric *first, size_t number)
{
        const char *ids[GROUP_METRICS_MAX];
        size_t      nr = group_metrics(g, ids);

        if (nr < 2)
                return;
        open_table(to, "costs", number, "What it cost: medians; a dash: not measured, or not reached");
        head(to, "measured");
        for (size_t i = 0; i < g->nr_arms; i++) {
                fputs("<th scope=\"col\">", to);
                html_name(to, g->arms[i].name);
                fputs("</th>", to);
        }
        fputs("</tr></thead>\n<tbody>\n", to);
        for (size_t i = 0; i < nr; i++)
                if (ids[i] != first->id)
                        cost_row(to, g, ids[i]);
        close_table(to);
}

void html_tables(FILE *to, const struct bench_group *g, const struct bench_metric *first, size_t number)
{
        first_table(to, g, first, number);
        cost_table(to, g, first, number);
}

void html_floors(FILE *to, const struct bench_group *floors)
{
        fputs("<section aria-labelledby=\"floors\">\n<h2 id=\"floors\">Floors</h2>\n<p>What the same machine did in the same run with bare calls: nothing can be faster "
              "than what it stands on.</p>\n", to);
        open_table(to, "floor", 0, "Bare calls on this machine");
        fputs("<th scope=\"col\">floor</th><th scope=\"col\">p50</th><th scope=\"col\">95&nbsp;% interval</th><th scope=\"col\">runs</th><th scope=\"col\" class=\"what\">what</th>"
              "</tr></thead>\n<tbody>\n", to);
        for (size_t i = 0; i < floors->nr_arms; i++) {
                const struct bench_arm    *a = &floors->arms[i];
                const struct bench_metric *m = a->nr_metrics ? &a->metrics[0] : NULL;
                struct stats_summary       s;
                bool                       known = stats_summarize(m, &s);
                struct figure_scale        scale = figure_scale_of(m ? m->unit : "", s.p50);
                char                       buf[2 * FIGURE_BYTES] = "";

                row_head(to, a);
                figure_alone(buf, s.p50, m ? m->unit : "");
                fputs(known ? "<td>" : "", to);
                if (known)
                        html_text(to, buf);
                else
                        cell(to, false, 0, &scale);
                fputs(known ? "</td>" : "", to);
                if (s.ci.known) {
                        fputs("<td>", to);
                        interval(to, &s.ci, &scale);
                        fputs("</td>", to);
                } else {
                        cell(to, false, 0, &scale);
                }
                fprintf(to, "<td>%zu</td><td class=\"what\">", s.runs);
                html_text(to, a->what);
                fputs("</td></tr>\n", to);
        }
        close_table(to);
        fputs("</section>\n", to);
}
