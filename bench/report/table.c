/* The table on the terminal: for each group how long, then how it compares, then what it cost; floors and words at the end. */
#include "bench/report/figure.h"
#include "bench/report/grid.h"
#include "bench/report/text.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BAR_LEAST = 8, BAR_MOST = 40, NAME_MOST = 34 };

static const char *better_words(enum bench_better better)
{
        return better == BENCH_LOWER ? "; less is better" : better == BENCH_HIGHER ? "; more is better" : "";
}

static char *arm_name(const struct bench_arm *a, const struct bench_look *look)
{
        _cleanup_free_ char *clean = text_clean(a->name, look), *marked = NULL;

        marked = text_format("%s%s", clean, a->control ? " (control)" : a->peer ? " (peer)" : "");
        return text_fit(marked, NAME_MOST, look);
}

static char *value_cell(bool known, double v, const struct figure_scale *scale)
{
        char buf[FIGURE_BYTES];

        if (!known)
                return NULL;
        figure_value(buf, v, scale);
        return text_format("%s", buf);
}

static char *interval_cell(const struct stats_interval *ci, const struct figure_scale *scale, const struct bench_look *look)
{
        char low[FIGURE_BYTES], high[FIGURE_BYTES];

        if (!ci->known)
                return NULL;
        figure_value(low, ci->low, scale);
        figure_value(high, ci->high, scale);
        return text_format("%s%s%s", low, look->utf8 ? " – " : " - ", high);
}

/* Eighths of a block where the terminal has them. */
static char *bar_cell(double share, size_t width, const struct bench_look *look)
{
        static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
        size_t                   units = (size_t)(share * (double)width * 8 + 0.5);
        char                     bar[BAR_MOST * 3 + 8] = "";
        size_t                   at = 0;

        if (share > 0 && units == 0)
                units = 1;
        if (!look->utf8)
                return text_format("%.*s", (int)((units + 7) / 8), "########################################");
        for (size_t i = 0; i < units / 8; i++)
                at += (size_t)snprintf(bar + at, sizeof(bar) - at, "█");
        snprintf(bar + at, sizeof(bar) - at, "%s", eighths[units % 8]);
        return text_format("%s", bar);
}

static void headings(struct grid *g, const char *const *names, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                grid_add(g, text_format("%s", names[i]));
}

static void add_first_row(struct grid *t, const struct bench_arm *a, const char *id, const struct figure_scale *scale,
                          const struct bench_look *look)
{
        struct stats_summary s;
        bool                 known = stats_summarize(bench_metric_find(a, id), &s);

        grid_add(t, arm_name(a, look));
        grid_add(t, value_cell(known, s.p50, scale));
        grid_add(t, interval_cell(&s.ci, scale, look));
        grid_add(t, value_cell(s.has_p95, s.p95, scale));
        grid_add(t, value_cell(s.has_p99, s.p99, scale));
        grid_add(t, text_format("%zu", s.runs));
}

/* Twice: without bars to learn what is left for them, then with. */
static void print_first(FILE *to, const struct bench_group *g, const char *id, const struct figure_scale *scale,
                        const struct bench_look *look)
{
        static const char *const names[] = {"", "p50", "95 % interval", "p95", "p99", "n", ""};
        double                   largest = group_largest(g, id), v;
        struct grid              bare, t;
        size_t                   width;

        grid_init(&bare, ARRAY_LEN(names) - 1);
        headings(&bare, names, ARRAY_LEN(names) - 1);
        for (size_t i = 0; i < g->nr_arms; i++)
                add_first_row(&bare, &g->arms[i], id, scale, look);
        width = grid_width(&bare) + 2 + BAR_LEAST > look->columns ? BAR_LEAST : MIN(look->columns - grid_width(&bare) - 2, BAR_MOST);
        grid_init(&t, ARRAY_LEN(names));
        t.left[ARRAY_LEN(names) - 1] = true;
        for (size_t i = 0; i < bare.nr_cells; i++) {
                size_t row = i / bare.nr_columns;

                grid_add(&t, TAKE_PTR(bare.cells[i]));
                if ((i + 1) % bare.nr_columns)
                        continue;
                if (row > 0 && largest > 0 && stats_median(bench_metric_find(&g->arms[row - 1], id), &v))
                        grid_add(&t, bar_cell(v > 0 ? v / largest : 0, width, look));
                else
                        grid_add(&t, text_format("%s", ""));
        }
        grid_print(to, &t, look);
        grid_free(&t);
        grid_free(&bare);
}

static char *ratio_cell(const struct stats_ratio *r, const struct bench_look *look)
{
        static const struct figure_scale plain = {1, ""};
        static const char *const         verdicts[] = {[STATS_LOWER] = "lower", [STATS_HIGHER] = "higher", [STATS_ALIKE] = "can't tell"};
        char                             ratio[FIGURE_BYTES];
        _cleanup_free_ char             *ci = NULL;

        if (r->verdict == STATS_NO_RATIO)
                return NULL;
        figure_value(ratio, r->ratio, &plain);
        if (r->verdict == STATS_TOO_FEW)
                return text_format("%s, too few runs", ratio);
        ci = interval_cell(&r->ci, &plain, look);
        return text_format("%s (%s) %s", ratio, ci, verdicts[r->verdict]);
}

/* The arms that ratios are to; those that the group really has. */
static size_t references_of(const struct bench_group *g, const struct bench_arm *ret[2])
{
        size_t n = 0;

        for (size_t i = 0; i < 2; i++)
                if (g->references[i] && bench_arm_find(g, g->references[i]))
                        ret[n++] = bench_arm_find(g, g->references[i]);
        return n;
}

static void fill_ratios(struct grid *t, const struct bench_group *g, const char *id, const struct bench_arm *const *refs,
                        size_t nr, const struct bench_look *look)
{
        grid_init(t, nr + 1);
        t->left[1] = t->left[2] = true;
        grid_add(t, text_format("round by round"));
        for (size_t k = 0; k < nr; k++) {
                _cleanup_free_ char *name = arm_name(refs[k], look);

                grid_add(t, text_format("times %s", name));
        }
        for (size_t i = 0; i < g->nr_arms; i++) {
                grid_add(t, arm_name(&g->arms[i], look));
                for (size_t k = 0; k < nr; k++) {
                        struct stats_ratio r = stats_ratio_paired(bench_metric_find(&g->arms[i], id),
                                                                  bench_metric_find(refs[k], id));

                        grid_add(t, &g->arms[i] == refs[k] ? text_format("1") : g->arms[i].control ? NULL : ratio_cell(&r, look));
                }
        }
}

/* "  can't tell lazy from mmap (20 runs; about 970 would), ..." in one line; NULL: all can be told apart. */
static char *doubts(const struct bench_group *g, const char *id, const struct bench_arm *const *refs, size_t nr_refs)
{
        char *line = NULL;

        for (size_t i = 0; i < g->nr_arms; i++)
                for (size_t k = 0; k < nr_refs; k++) {
                        struct stats_ratio   r = stats_ratio_paired(bench_metric_find(&g->arms[i], id),
                                                                    bench_metric_find(refs[k], id));
                        _cleanup_free_ char *before = line, *needed = NULL;

                        if (g->arms[i].control || &g->arms[i] == refs[k] || (k == 1 && &g->arms[i] == refs[0]) || (r.verdict != STATS_ALIKE && r.verdict != STATS_TOO_FEW)) {
                                TAKE_PTR(before);
                                continue;
                        }
                        needed = r.runs_needed ? text_format("about %zu would", r.runs_needed) : text_format("more would hardly");
                        line = text_format("%s%s%s from %s (%zu runs; %s)", before ? before : "  can't tell ", before ? ", " : "", g->arms[i].name, refs[k]->name, r.runs,
                                           needed);
                }
        return line;
}

/* Side by side where that leaves room for names. */
static void print_ratios(FILE *to, const struct bench_group *g, const char *id, const struct bench_look *look)
{
        const struct bench_arm *refs[2];
        size_t                  nr = references_of(g, refs);
        _cleanup_free_ char    *line = NULL;

        for (size_t at = 0; at < nr;) {
                size_t      take = nr - at;
                struct grid t;

                fill_ratios(&t, g, id, refs + at, take, look);
                if (take > 1 && grid_width(&t) > look->columns) {
                        grid_free(&t);
                        fill_ratios(&t, g, id, refs + at, --take, look);
                }
                fputc('\n', to);
                grid_print(to, &t, look);
                grid_free(&t);
                at += take;
        }
        line = doubts(g, id, refs, nr);
        if (line)
                text_wrap(to, line, 4, 0, look);
}

/* The medians of these metrics, a column each. */
static void fill_costs(struct grid *t, const struct bench_group *g, const char *const *ids, size_t nr,
                       const struct bench_look *look)
{
        struct figure_scale scales[GRID_COLUMNS_MAX];

        grid_init(t, nr + 1);
        grid_add(t, text_format("medians"));
        for (size_t c = 0; c < nr; c++) {
                _cleanup_free_ char *title = NULL;
                const char          *unit = "";

                for (size_t i = 0; i < g->nr_arms; i++)
                        if (bench_metric_find(&g->arms[i], ids[c]))
                                unit = bench_metric_find(&g->arms[i], ids[c])->unit;
                scales[c] = figure_scale_of(unit, group_largest(g, ids[c]));
                title = text_format("%s%s%s", metric_title(ids[c]), scales[c].unit[0] ? " " : "", scales[c].unit);
                grid_add(t, text_clean(title, look));
        }
        for (size_t i = 0; i < g->nr_arms; i++) {
                grid_add(t, arm_name(&g->arms[i], look));
                for (size_t c = 0; c < nr; c++) {
                        double v;
                        bool   known = stats_median(bench_metric_find(&g->arms[i], ids[c]), &v);

                        grid_add(t, value_cell(known, v, &scales[c]));
                }
        }
}

/* What is 0 for every arm that has it is said in a line, so that the table holds what differs. */
static size_t without_zeros(const struct bench_group *g, const char **ids, size_t nr, char **ret_line)
{
        char  *zeros = NULL;
        size_t kept = 0;

        for (size_t i = 0; i < nr; i++) {
                char *more;

                if (group_largest(g, ids[i]) > 0) {
                        ids[kept++] = ids[i];
                        continue;
                }
                more = text_format("%s%s%s", zeros ? zeros : "  0 in the median of every arm that has it: ", zeros ? ", " : "",
                                   metric_title(ids[i]));
                free(zeros);
                zeros = more;
        }
        *ret_line = zeros;
        return kept;
}

/* The other metrics, as many side by side as fit. */
static void print_costs(FILE *to, const struct bench_group *g, const char *first, const struct bench_look *look)
{
        const char          *all[GROUP_METRICS_MAX], *ids[GROUP_METRICS_MAX];
        size_t               nr_all = group_metrics(g, all), nr = 0;
        _cleanup_free_ char *zeros = NULL;

        for (size_t i = 0; i < nr_all; i++)
                if (strcmp(all[i], first) != 0 && !metric_is_detail(all[i]))
                        ids[nr++] = all[i];
        nr = without_zeros(g, ids, nr, &zeros);
        for (size_t at = 0; at < nr;) {
                size_t      take = MIN(nr - at, GRID_COLUMNS_MAX - 1);
                struct grid t;

                for (fill_costs(&t, g, ids + at, take, look); take > 1 && grid_width(&t) > look->columns; fill_costs(&t, g, ids + at, --take, look))
                        grid_free(&t);
                fputc('\n', to);
                grid_print(to, &t, look);
                grid_free(&t);
                at += take;
        }
        if (zeros)
                text_wrap(to, zeros, 4, 0, look);
}

static void print_losses(FILE *to, const struct bench_group *g, const struct bench_look *look)
{
        for (size_t i = 0; i < g->nr_arms; i++) {
                const struct bench_arm *a = &g->arms[i];
                _cleanup_free_ char    *line = NULL;

                if (a->runs_failed)
                        line = text_format("  %s: %u %s failed and gave no values%s%s", a->name, a->runs_failed, a->runs_failed == 1 ? "run" : "runs",
                                           a->failure ? "; the first: " : "", a->failure ? a->failure : "");
                if (line)
                        text_wrap(to, line, 4, 0, look);
                if (!a->runs_not_cold)
                        continue;
                free(line);
                line = text_format("  %s: %u %s not cold and thrown away", a->name, a->runs_not_cold,
                                   a->runs_not_cold == 1 ? "run was" : "runs were");
                text_wrap(to, line, 4, 0, look);
        }
}

static void print_title(FILE *to, const char *title, const struct bench_look *look)
{
        fputs(look->colour ? "\n\033[1m" : "\n", to);
        text_wrap(to, title, 2, 0, look);
        if (look->colour)
                fputs("\033[22m", to);
}

/* "web, warm. T3: first byte of the guest (ms; less is better)" */
static char *group_title(const struct bench_group *g, const struct bench_metric *first, const struct figure_scale *scale)
{
        const char *better = better_words(first->better);

        if (!scale->unit[0] && !better[0])
                return text_format("%s. %s", g->name, metric_long_title(first->id));
        return text_format("%s. %s (%s%s)", g->name, metric_long_title(first->id), scale->unit, scale->unit[0] ||
                           !better[0] ? better : better + strlen("; "));
}

static void print_group(FILE *to, const struct bench_group *g, const struct bench_look *look)
{
        const struct bench_metric *first = group_first_metric(g);
        struct figure_scale        scale = first ? figure_scale_of(first->unit, group_largest(g, first->id)) : (struct figure_scale){1, ""};
        _cleanup_free_ char       *title = first ? group_title(g, first, &scale) : NULL;

        print_title(to, first ? title : g->name, look);
        if (first) {
                print_first(to, g, first->id, &scale, look);
                print_ratios(to, g, first->id, look);
                print_costs(to, g, first->id, look);
        } else {
                fprintf(to, "  no run of any arm gave a value\n");
        }
        print_losses(to, g, look);
}

/* The last lines are what people remember. */
static void print_words(FILE *to, const struct bench_group *g, const struct bench_look *look)
{
        if (g->nr_words == 0)
                return;
        print_title(to, g->name, look);
        for (size_t i = 0; i < g->nr_words; i++)
                text_wrap(to, g->words[i], 2, 0, look);
}

/* A floor has a metric of its own. */
static void print_floors(FILE *to, const struct bench_group *g, const struct bench_look *look)
{
        struct grid t;

        if (g->nr_arms == 0)
                return;
        print_title(to, "Floors: the bare calls, on this machine, in the same run", look);
        grid_init(&t, 4);
        headings(&t, (const char *const[]){"", "p50", "95 % interval", "n"}, 4);
        for (size_t i = 0; i < g->nr_arms; i++) {
                const struct bench_arm    *a = &g->arms[i];
                const struct bench_metric *m = a->nr_metrics ? &a->metrics[0] : NULL;
                struct stats_summary       s;
                bool                       known = stats_summarize(m, &s);
                struct figure_scale        scale = figure_scale_of(m ? m->unit : "", s.p50);
                char                       buf[2 * FIGURE_BYTES];

                figure_alone(buf, s.p50, m ? m->unit : "");
                grid_add(&t, arm_name(a, look));
                grid_add(&t, known ? text_clean(buf, look) : NULL);
                grid_add(&t, interval_cell(&s.ci, &scale, look));
                grid_add(&t, text_format("%zu", s.runs));
        }
        grid_print(to, &t, look);
        grid_free(&t);
        print_losses(to, g, look);
}

static void print_head(FILE *to, const struct bench_result *r, const struct bench_look *look)
{
        time_t               at = (time_t)r->started_unix_s;
        struct tm            tm = {0};
        char                 when[40] = "";
        _cleanup_free_ char *run = NULL;

        if (r->command)
                text_wrap(to, r->command, 2, 0, look);
        if (gmtime_r(&at, &tm))
                strftime(when, sizeof(when), "%Y-%m-%d %H:%M UTC", &tm);
        run = text_format("%s, %u round%s, seed %llu, %.0f s; rouse %s%s%s", when, r->rounds, r->rounds == 1 ? "" : "s", (unsigned long long)r->seed, r->took_s,
                          r->rouse_version ? r->rouse_version : "", r->commit ? ", commit " : "", r->commit ? r->commit : "");
        text_wrap(to, run, 2, 0, look);
        for (size_t i = 0; i < r->nr_machine; i++) {
                _cleanup_free_ char *fact = text_format("%s: %s", r->machine[i].name, r->machine[i].value);

                text_wrap(to, fact, 2, 0, look);
        }
}

void bench_table_print(FILE *to, const struct bench_result *r, const struct bench_look *look)
{
        print_head(to, r, look);
        for (size_t i = 0; i < r->nr_groups; i++)
                print_group(to, &r->groups[i], look);
        print_floors(to, &r->floors, look);
        for (size_t i = r->nr_groups; i > 0; i--) /* what the bench was called for stands first, so it ends last */
                print_words(to, &r->groups[i - 1], look);
}
