/* The comparison: rows, then the controls, then one judgement for each row. */
#include "bench/report/compare.h"

#include "bench/report/compare_notes.h"
#include "bench/stats/bootstrap.h"
#include "core/base/units.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of all comparisons of one comparison together: one run of a hundred that changed nothing says otherwise, if the machine shifts
 * with its controls. */
#define FAMILY_ALPHA 0.01

enum { CONTROLS_MAX = 64 };

struct controls {
        size_t nr;
        double ratio[CONTROLS_MAX], low[CONTROLS_MAX], high[CONTROLS_MAX]; /* how many times as long in B */
};

static bool is_time(const char *unit)
{
        return strcmp(unit, "us") == 0 || strcmp(unit, "ns") == 0;
}

static bool is_rate(const char *unit)
{
        size_t n = strlen(unit);

        return n > 2 && strcmp(unit + n - 2, "/s") == 0;
}

/* Too few values for an interval, as floors may have: all that their ratio could be. */
static struct stats_interval extremes(const struct bench_metric *above, const struct bench_metric *below)
{
        struct stats_summary a, b;

        if (!stats_summarize(above, &a) || !stats_summarize(below, &b) || !(b.min > 0))
                return (struct stats_interval){0};
        return (struct stats_interval){true, a.min / b.max, a.max / b.min};
}

/* The slowness of a ratio B to A: a rate's is the other way round. */
static void add_control(struct controls *c, const struct bench_metric *a, const struct bench_metric *b)
{
        struct stats_ratio r;

        if (!a || !b || c->nr == CONTROLS_MAX || strcmp(a->unit, b->unit) || (!is_time(a->unit) && !is_rate(a->unit)))
                return;
        r = is_rate(a->unit) ? stats_ratio_apart(a, b) : stats_ratio_apart(b, a);
        if (r.verdict == STATS_NO_RATIO || !(r.ratio > 0))
                return;
        if (!r.ci.known)
                r.ci = is_rate(a->unit) ? extremes(a, b) : extremes(b, a);
        if (!r.ci.known)
                return;
        c->ratio[c->nr] = r.ratio;
        c->low[c->nr] = r.ci.low;
        c->high[c->nr++] = r.ci.high;
}

static double median_of(const double *v, size_t n)
{
        double copy[CONTROLS_MAX];

        memcpy(copy, v, n * sizeof(*v));
        stats_sort(copy, n);
        return stats_quantile(copy, n, 0.5);
}

/* The ends' medians: one floor that went its own way (a disk's) does not hide everything else. */
static double machine_of(const struct controls *c, struct stats_interval *ret)
{
        *ret = (struct stats_interval){c->nr > 0, 1, 1};
        if (c->nr == 0)
                return 1;
        ret->low = median_of(c->low, c->nr);
        ret->high = median_of(c->high, c->nr);
        return median_of(c->ratio, c->nr);
}

static struct controls floors_of(const struct bench_result *a, const struct bench_result *b)
{
        struct controls c = {0};

        for (size_t i = 0; i < a->floors.nr_arms; i++) {
                const struct bench_arm *fa = &a->floors.arms[i], *fb = bench_arm_find(&b->floors, fa->name);

                if (fb && fa->nr_metrics)
                        add_control(&c, &fa->metrics[0], bench_metric_find(fb, fa->metrics[0].id));
        }
        return c;
}

/* Arms of the group that tell of the machine: references and peers, not the arm itself. */
static struct controls arms_of(const struct compare_row *row, const struct bench_group *gb)
{
        struct controls c = {0};

        for (size_t i = 0; i < row->group->nr_arms; i++) {
                const struct bench_arm *a = &row->group->arms[i], *b = bench_arm_find(gb, a->name);
                bool                    control = a->peer;

                for (size_t k = 0; k < 2; k++)
                        control |= row->group->references[k] && strcmp(row->group->references[k], a->name) == 0;
                if (control && b && a != row->arm)
                        add_control(&c, bench_metric_find(a, row->a->id), bench_metric_find(b, row->a->id));
        }
        return c;
}

static struct compare_row *add_row(struct comparison *c)
{
        if ((c->nr_rows & (c->nr_rows - 1)) == 0) {
                c->rows = realloc(c->rows, (c->nr_rows ? c->nr_rows * 2 : 1) * sizeof(*c->rows));
                if (!c->rows) {
                        fprintf(stderr, "rouse bench: no memory\n");
                        exit(1);
                }
        }
        return memset(&c->rows[c->nr_rows++], 0, sizeof(*c->rows));
}

static void fill_row(struct compare_row *row, const struct bench_metric *a, const struct bench_metric *b)
{
        row->a = a;
        row->b = b;
        row->timed = is_time(a->unit) || is_rate(a->unit);
        stats_median(a, &row->p50_a);
        stats_median(b, &row->p50_b);
        row->ratio = stats_ratio_apart(b, a);
        row->p = stats_rank_p(b, a);
}

static void add_arm(struct comparison *c, const struct bench_group *ga, const struct bench_arm *a, const struct bench_arm *b)
{
        for (size_t i = 0; i < a->nr_metrics; i++) {
                const struct bench_metric *mb = bench_metric_find(b, a->metrics[i].id);

                if (!mb || a->metrics[i].nr == 0 || mb->nr == 0) {
                        compare_note_metric(c, ga, a, &a->metrics[i], mb);
                } else if (strcmp(mb->unit, a->metrics[i].unit)) {
                        compare_note(c, "%s, %s, %s: the units differ: %s in A, %s in B", ga->name, a->name, mb->id,
                                     a->metrics[i].unit, mb->unit);
                } else {
                        struct compare_row *row = add_row(c);

                        row->group = ga;
                        row->arm = a;
                        row->first = ga->first_metric && strcmp(ga->first_metric, mb->id) == 0;
                        fill_row(row, &a->metrics[i], mb);
                }
        }
}

static void add_rows(struct comparison *c, const struct bench_result *a, const struct bench_result *b)
{
        for (size_t i = 0; i < a->nr_groups; i++) {
                const struct bench_group *ga = &a->groups[i], *gb = compare_group_find(b, ga->name);

                for (size_t k = 0; gb && k < ga->nr_arms; k++) {
                        const struct bench_arm *arm = bench_arm_find(gb, ga->arms[k].name);

                        if (arm)
                                add_arm(c, ga, &ga->arms[k], arm);
                }
        }
}

/* The p of two samples that do not overlap at all: less than that these runs cannot show. */
static double least_p(size_t na, size_t nb)
{
        double all = (double)na * (double)nb, n = (double)(na + nb);

        return erfc((all / 2 - 0.5) / sqrt(all * (n + 1) / 12) / sqrt(2));
}

static size_t rounds_of(const struct bench_metric *m)
{
        struct bench_metric by_round = stats_by_round(m);

        free(by_round.values);
        return by_round.nr;
}

static int by_p(const void *x, const void *y)
{
        double a = (*(struct compare_row *const *)x)->p, b = (*(struct compare_row *const *)y)->p;

        return (a > b) - (a < b);
}

/* Holm: the smallest p counts for all of them, the next for all but one, and so on; none counts for less than one before it. What
 * is looked at first and the many other metrics are two families, so that more columns do not make the first one blunt. */
static void correct_family(struct comparison *c, bool first)
{
        struct compare_row **sorted = stats_alloc(c->nr_rows, sizeof(struct compare_row *));
        size_t               n = 0;
        double               before = 0;

        for (size_t i = 0; i < c->nr_rows; i++)
                if (c->rows[i].first == first)
                        sorted[n++] = &c->rows[i];
        qsort(sorted, n, sizeof(struct compare_row *), by_p);
        for (size_t i = 0; i < n; i++) {
                struct compare_row *row = sorted[i];

                if (least_p(rounds_of(row->a), rounds_of(row->b)) * (double)n > FAMILY_ALPHA)
                        row->verdict = COMPARE_TOO_FEW;
                before = row->p = fmin(fmax(before, row->p * (double)(n - i)), 1);
        }
        free(sorted);
}

/* The part of the ratio that the machine does not account for: 1 where it accounts for all of it, or where the two ways of
 * looking disagree. */
static double beyond(const struct compare_row *row, double machine)
{
        double absolute = is_rate(row->a->unit) ? 1 / row->ratio.ratio : row->ratio.ratio, relative = absolute / machine;

        if (absolute > 1 && relative > 1)
                return fmin(absolute, relative);
        return absolute < 1 && relative < 1 ? fmax(absolute, relative) : 1;
}

static enum compare_verdict direction(const struct compare_row *row)
{
        if (row->a->better == BENCH_NEITHER)
                return COMPARE_CHANGED;
        return (row->ratio.ratio > 1) == (row->a->better == BENCH_HIGHER) ? COMPARE_BETTER : COMPARE_WORSE;
}

/* Whether the interval, as how many times as long, lies apart from what the machine did. */
static bool is_beyond(const struct compare_row *row, const struct stats_interval *machine)
{
        bool   rate = is_rate(row->a->unit);
        double low = rate ? 1 / row->ratio.ci.high : row->ratio.ci.low, high = rate ? 1 / row->ratio.ci.low : row->ratio.ci.high;

        return low > fmax(machine->high, 1) || high < fmin(machine->low, 1);
}

static void judge(struct comparison *c, struct compare_row *row, const struct bench_group *gb)
{
        struct stats_interval machine = c->machine_ci;
        struct controls       arms;
        double                shift = c->machine, times;

        if (row->ratio.verdict == STATS_NO_RATIO || !(row->ratio.ratio > 0)) {
                /* from nothing, or to nothing: there is no ratio, but the ranks still tell */
                if (row->verdict != COMPARE_TOO_FEW)
                        row->verdict = row->p > FAMILY_ALPHA ? COMPARE_SAME : COMPARE_NOTHING;
                return;
        }
        if (row->verdict == COMPARE_TOO_FEW || !row->ratio.ci.known) {
                row->verdict = COMPARE_TOO_FEW;
                return;
        }
        if (row->p > FAMILY_ALPHA || row->ratio.verdict == STATS_ALIKE)
                return;
        if (row->timed && c->nr_floors == 0) {
                arms = arms_of(row, gb);
                shift = machine_of(&arms, &machine);
        }
        times = row->timed ? beyond(row, shift) : row->ratio.ratio;
        row->percent = fabs(times - 1) * 100;
        if (row->timed && !is_beyond(row, &machine)) {
                row->verdict = COMPARE_MACHINE;
                row->percent = 0;
        } else if (row->percent >= COMPARE_LEAST_PERCENT) {
                row->verdict = direction(row);
        }
        row->regression = row->verdict == COMPARE_WORSE && row->percent > c->threshold_percent;
        c->nr_regressions += row->regression;
}

void compare_results(const struct bench_result *a, const struct bench_result *b, double threshold_percent, struct comparison *ret)
{
        struct controls floors = floors_of(a, b);

        *ret = (struct comparison){.threshold_percent = threshold_percent, .nr_floors = floors.nr};
        ret->machine = machine_of(&floors, &ret->machine_ci);
        compare_note_differences(ret, a, b);
        add_rows(ret, a, b);
        correct_family(ret, true);
        correct_family(ret, false);
        for (size_t i = 0; i < ret->nr_rows; i++)
                judge(ret, &ret->rows[i], compare_group_find(b, ret->rows[i].group->name));
        compare_note_common_shift(ret);
}

size_t compare_nr_told(const struct comparison *c)
{
        size_t nr = 0;

        for (size_t i = 0; i < c->nr_rows; i++)
                nr += c->rows[i].verdict != COMPARE_TOO_FEW;
        return nr;
}

void compare_free(struct comparison *c)
{
        for (size_t i = 0; i < c->nr_notes; i++)
                free(c->notes[i]);
        free(c->notes);
        free(c->rows);
        *c = (struct comparison){0};
}

const char *compare_verdict_word(enum compare_verdict v)
{
        static const char *const words[COMPARE_VERDICTS] = {
                [COMPARE_SAME] = "same", [COMPARE_MACHINE] = "machine", [COMPARE_BETTER] = "better", [COMPARE_WORSE] = "worse", [COMPARE_CHANGED] = "changed",
                [COMPARE_TOO_FEW] = "too_few", [COMPARE_NOTHING] = "no_ratio",
        };

        return words[v];
}
