/* Two arms: their ratio, its interval, and what may be said of it.
 *
 * Side by side it is the median of the ratios of each round, and not the ratio of the medians: what slows a whole round falls out
 * of it. In 150 drawn samples of 20 rounds, with four times as much noise common to a round as each arm's own, its interval was
 * half as wide (0.155 to 0.297 of the logarithm) and held the true ratio 95 times of 100 instead of always; without common noise
 * the two are alike (0.159 to 0.170). */
#include "bench/stats/bootstrap.h"
#include "core/base/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Of the normal distribution: 97.5 % lie below the first, 80 % below the second. */
#define Z_975 1.959963984540054
#define Z_80  0.8416212335729143

/* Two digits: it is a guess. */
static size_t about(size_t n)
{
        size_t unit = 1;

        while (n / unit >= 100)
                unit *= 10;
        return (n + unit - 1) / unit * unit;
}

/* How many runs show a difference of this size 4 times of 5, when the interval is as wide as it is after `runs`: its width goes
 * with 1/sqrt(runs). */
static size_t runs_needed(const struct stats_ratio *r)
{
        double seen = fabs(log(r->ratio)), half = (log(r->ci.high) - log(r->ci.low)) / 2, need;

        if (!(seen > 0) || !isfinite(half))
                return 0;
        need = ceil((double)r->runs * pow(half / Z_975 * (Z_975 + Z_80) / seen, 2));
        if (need <= (double)r->runs)
                return r->runs + 1;
        return need > STATS_RUNS_MAX ? 0 : about((size_t)need);
}

static void judge(struct stats_ratio *r)
{
        if (!r->ci.known) {
                r->verdict = STATS_TOO_FEW;
                r->runs_needed = STATS_RUNS_CI;
        } else if (r->ci.high < 1) {
                r->verdict = STATS_LOWER;
        } else if (r->ci.low > 1) {
                r->verdict = STATS_HIGHER;
        } else {
                r->verdict = STATS_ALIKE;
                r->runs_needed = runs_needed(r);
        }
}

struct stats_ratio stats_ratio_paired(const struct bench_metric *a, const struct bench_metric *b)
{
        struct stats_ratio r = {.verdict = STATS_NO_RATIO};
        struct stats_pool  p = {0};
        bool               defined = true;

        if (!a || !b)
                return r;
        stats_pool_fill_ratios(&p, a, b, &defined);
        r.runs = p.nr_rounds;
        if (p.nr > 0 && defined) {
                r.ratio = stats_quantile(p.value, p.nr, 0.5);
                if (r.runs >= STATS_RUNS_CI)
                        r.ci = stats_interval_of_median(&p);
                judge(&r);
        }
        stats_pool_free(&p);
        return r;
}

/* Unknown where a resample of b has nothing to divide by. */
static struct stats_interval interval_of_ratio(const struct stats_pool *a, const struct stats_pool *b)
{
        uint32_t *ta = stats_alloc(a->nr_rounds, sizeof(*ta)), *tb = stats_alloc(b->nr_rounds, sizeof(*tb));
        double   *ratios = stats_alloc(STATS_RESAMPLES, sizeof(*ratios)), below = 1;
        uint64_t  state = STATS_SEED;
        struct stats_interval ci = {0};

        for (size_t i = 0; i < STATS_RESAMPLES && below > 0; i++) {
                stats_draw(&state, ta, a->nr_rounds);
                stats_draw(&state, tb, b->nr_rounds);
                below = stats_pool_median(b, tb);
                if (below > 0)
                        ratios[i] = stats_pool_median(a, ta) / below;
        }
        if (below > 0)
                ci = stats_interval_of(ratios, STATS_RESAMPLES, MIN(a->nr_rounds, b->nr_rounds));
        free(ratios);
        free(ta);
        free(tb);
        return ci;
}

struct stats_ratio stats_ratio_apart(const struct bench_metric *a, const struct bench_metric *b)
{
        struct stats_ratio r = {.verdict = STATS_NO_RATIO};
        struct stats_pool  pa = {0}, pb = {0};
        double             below;

        if (!a || !b || a->nr == 0 || b->nr == 0)
                return r;
        stats_pool_fill(&pa, a);
        stats_pool_fill(&pb, b);
        r.runs = MIN(pa.nr_rounds, pb.nr_rounds);
        below = stats_quantile(pb.value, pb.nr, 0.5);
        if (below > 0) {
                r.ratio = stats_quantile(pa.value, pa.nr, 0.5) / below;
                if (r.runs >= STATS_RUNS_CI)
                        r.ci = interval_of_ratio(&pa, &pb);
                judge(&r);
        }
        stats_pool_free(&pa);
        stats_pool_free(&pb);
        return r;
}

static void alike_words(char *buf, size_t size, const struct stats_ratio *r, const char *a, const char *b)
{
        int n = snprintf(buf, size, "%s and %s cannot be told apart by %zu runs: %.3g times (%.3g to %.3g); ", a, b, r->runs,
                         r->ratio, r->ci.low, r->ci.high);

        if (n < 0 || (size_t)n >= size)
                return;
        if (r->runs_needed)
                snprintf(buf + n, size - (size_t)n, "a difference as seen would take about %zu runs", r->runs_needed);
        else
                snprintf(buf + n, size - (size_t)n, "more runs would hardly help");
}

void stats_ratio_words(char *buf, size_t size, const struct stats_ratio *r, const char *a, const char *b, const char *lower,
                       const char *higher)
{
        switch (r->verdict) {
        case STATS_NO_RATIO:
                snprintf(buf, size, "%s cannot be divided by %s: no round has both, or a value is not above 0", a, b);
                break;
        case STATS_TOO_FEW:
                snprintf(buf, size, "too few runs to compare %s with %s: %zu, and %d or more give an interval", a, b, r->runs,
                         STATS_RUNS_CI);
                break;
        case STATS_ALIKE:
                alike_words(buf, size, r, a, b);
                break;
        default:
                snprintf(buf, size, "%s is %s than %s: %.3g times (%.3g to %.3g)", a, r->verdict == STATS_LOWER ? lower : higher,
                         b, r->ratio, r->ci.low, r->ci.high);
        }
}

void stats_goal_words(char *buf, size_t size, const struct stats_ratio *r, double goal, bool at_most)
{
        const char *found = (at_most ? r->ratio <= goal : r->ratio >= goal) ? "reached" : "MISSED";

        if (!r->ci.known)
                snprintf(buf, size, "%.2f in %zu rounds, too few to tell", r->ratio, r->runs);
        else if (r->ci.low <= goal && goal < r->ci.high)
                snprintf(buf, size, "%.2f (%.2f to %.2f), %s by the median, but these rounds cannot tell", r->ratio, r->ci.low,
                         r->ci.high, found);
        else
                snprintf(buf, size, "%.2f (%.2f to %.2f), %s", r->ratio, r->ci.low, r->ci.high, found);
}
