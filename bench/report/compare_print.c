/* A comparison for people. */
#include "bench/report/compare.h"
#include "bench/report/figure.h"
#include "bench/report/grid.h"
#include "bench/report/text.h"
#include "core/base/cleanup.h"

#include <math.h>
#include <time.h>

static const char *const verdict_words[COMPARE_VERDICTS] = {
        [COMPARE_SAME] = "no change beyond noise", [COMPARE_MACHINE] = "as the machine did", [COMPARE_BETTER] = "better", [COMPARE_WORSE] = "worse",
        [COMPARE_CHANGED] = "changed", [COMPARE_TOO_FEW] = "too few runs to tell", [COMPARE_NOTHING] = "changed from or to 0",
};

static void print_side(FILE *to, char side, const char *path, const struct bench_result *r, const struct bench_look *look)
{
        time_t               at = (time_t)r->started_unix_s;
        struct tm            tm = {0};
        char                 when[40] = "";
        _cleanup_free_ char *line = NULL;

        if (gmtime_r(&at, &tm))
                strftime(when, sizeof(when), "%Y-%m-%d %H:%M UTC", &tm);
        line = text_format("%c: %s: %s, %u round%s, rouse %s%s%s", side, path, when, r->rounds, r->rounds == 1 ? "" : "s",
                           r->rouse_version ? r->rouse_version : "", r->commit ? ", commit " : "", r->commit ? r->commit : "");
        text_wrap(to, line, 3, 0, look);
}

static void add_figure(struct grid *t, double v, const struct figure_scale *scale)
{
        char buf[FIGURE_BYTES];

        figure_value(buf, v, scale);
        grid_add(t, text_format("%s", buf));
}

static char *ratio_cell(const struct stats_ratio *r, const struct bench_look *look)
{
        if (r->verdict == STATS_NO_RATIO)
                return NULL;
        if (!r->ci.known)
                return text_format("%.3f", r->ratio);
        return text_format("%.3f (%.3f%s%.3f)", r->ratio, r->ci.low, look->utf8 ? " – " : " - ", r->ci.high);
}

static char *verdict_cell(const struct compare_row *row)
{
        if (row->percent >= COMPARE_LEAST_PERCENT)
                return text_format("%s by %.1f %%%s", verdict_words[row->verdict], row->percent,
                                   row->regression ? ": regression" : "");
        return text_format("%s", verdict_words[row->verdict]);
}

static void add_row(struct grid *t, const struct compare_row *row, bool name_metric, const struct bench_look *look)
{
        struct figure_scale  scale = figure_scale_of(row->a->unit, fmax(row->p50_a, row->p50_b));
        _cleanup_free_ char *name = name_metric ? text_format("%s: %s", row->arm->name, metric_title(row->a->id)) : text_format("%s", row->arm->name);
        _cleanup_free_ char *clean = text_clean(name, look);

        grid_add(t, text_fit(clean, 32, look));
        add_figure(t, row->p50_a, &scale);
        add_figure(t, row->p50_b, &scale);
        grid_add(t, text_clean(scale.unit, look));
        grid_add(t, ratio_cell(&row->ratio, look));
        grid_add(t, verdict_cell(row));
}

static bool is_change(const struct compare_row *row)
{
        return row->verdict != COMPARE_SAME && row->verdict != COMPARE_TOO_FEW;
}

static void heading(struct grid *t, const char *first)
{
        grid_init(t, 6);
        t->left[3] = t->left[4] = t->left[5] = true;
        grid_add(t, text_format("%s", first));
        grid_add(t, text_format("A"));
        grid_add(t, text_format("B"));
        grid_add(t, text_format("%s", ""));
        grid_add(t, text_format("B / A (95 %%)"));
        grid_add(t, text_format("%s", ""));
}

/* The first metric of every arm; of the others those that changed. */
static void print_group(FILE *to, const struct comparison *c, const struct bench_group *g, const struct bench_look *look)
{
        const struct bench_metric *first = group_first_metric(g);
        _cleanup_free_ char       *title = text_format("%s. %s", g->name, first ? metric_long_title(first->id) : "");
        struct grid                t;
        size_t                     others = 0, changed = 0;

        fputc('\n', to);
        text_wrap(to, title, 2, 0, look);
        heading(&t, "medians");
        for (size_t i = 0; i < c->nr_rows; i++)
                if (c->rows[i].group == g && c->rows[i].first)
                        add_row(&t, &c->rows[i], false, look);
        grid_print(to, &t, look);
        grid_free(&t);
        heading(&t, "other changes");
        for (size_t i = 0; i < c->nr_rows; i++) {
                if (c->rows[i].group != g || c->rows[i].first)
                        continue;
                others++;
                if (!is_change(&c->rows[i]))
                        continue;
                changed++;
                add_row(&t, &c->rows[i], true, look);
        }
        if (changed)
                grid_print(to, &t, look);
        grid_free(&t);
        fprintf(to, "  other metrics of these arms: %zu of %zu changed\n", changed, others);
}

static void print_machine(FILE *to, const struct comparison *c)
{
        if (c->nr_floors == 0)
                return;
        fprintf(to, "\nThe machine itself: bare calls took %.3f times as long in B (%.3f to %.3f; the medians of %zu floors).\n"
                    "A time counts as changed where it changed as such and also beside that.\n", c->machine, c->machine_ci.low, c->machine_ci.high, c->nr_floors);
}

static void print_end(FILE *to, const struct comparison *c)
{
        size_t counts[COMPARE_VERDICTS] = {0}, told = compare_nr_told(c);

        for (size_t i = 0; i < c->nr_rows; i++)
                counts[c->rows[i].verdict]++;
        fputc('\n', to);
        if (c->nr_rows == 0)
                fprintf(to, "Nothing stands in both.\n");
        else if (!told)
                fprintf(to, "Nothing can be told: ");
        else if (counts[COMPARE_BETTER] + counts[COMPARE_WORSE] + counts[COMPARE_CHANGED] + counts[COMPARE_NOTHING] == 0)
                fprintf(to, "No change beyond noise in %zu comparisons.", told);
        else
                fprintf(to, "Of %zu comparisons: %zu better, %zu worse, %zu changed otherwise.", told, counts[COMPARE_BETTER], counts[COMPARE_WORSE],
                        counts[COMPARE_CHANGED] + counts[COMPARE_NOTHING]);
        if (counts[COMPARE_MACHINE])
                fprintf(to, " %zu moved no more than the machine did.", counts[COMPARE_MACHINE]);
        if (counts[COMPARE_TOO_FEW])
                fprintf(to, told ? " Besides, %zu had too few runs to tell." : "all %zu comparisons had too few runs, about ten on each side are needed.\n",
                        counts[COMPARE_TOO_FEW]);
        if (told)
                fprintf(to, "\n%zu %s over %g %%.\n", c->nr_regressions, c->nr_regressions == 1 ? "regression" : "regressions",
                        c->threshold_percent);
}

void compare_print(FILE *to, const struct comparison *c, const char *path_a, const struct bench_result *a, const char *path_b,
                   const struct bench_result *b)
{
        const struct bench_look   look = bench_look_of(to);
        const struct bench_group *last = NULL;

        print_side(to, 'A', path_a, a, &look);
        print_side(to, 'B', path_b, b, &look);
        for (size_t i = 0; i < c->nr_notes; i++) {
                fputs("! ", to);
                text_wrap(to, c->notes[i], 2, 2, &look);
        }
        print_machine(to, c);
        for (size_t i = 0; i < c->nr_rows; i++)
                if (c->rows[i].group != last) {
                        last = c->rows[i].group;
                        print_group(to, c, last, &look);
                }
        print_end(to, c);
}
