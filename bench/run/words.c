/* The last lines: of each arm against eager and mmap (of peers alone, against the first), what moved and what it cost, also where
 * it lost; and what cannot be told. */
#include "bench/run/bench.h"

#include "bench/stats/stats.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

/* The median over the rounds that both have of a - b; false: there is none. */
static bool median_of_differences(const struct bench_metric *a, const struct bench_metric *b, double *ret)
{
        _cleanup_free_ double *d = a && b ? calloc(a->nr + 1, sizeof(*d)) : NULL;
        size_t nr = 0;

        for (size_t i = 0; d && i < a->nr; i++)
                for (size_t k = 0; k < b->nr; k++)
                        if (a->values[i].round == b->values[k].round)  {
                                d[nr++] = a->values[i].value - b->values[k].value;
                                break;
                        }
        if (nr == 0)
                return false;
        qsort(d, nr, sizeof(*d), compare);
        *ret = stats_quantile(d, nr, 0.5);
        return true;
}

static bool median(const struct bench_arm *a, const char *id, double *ret)
{
        struct stats_summary s;

        if (!stats_summarize(bench_metric_find(a, id), &s))
                return false;
        *ret = s.p50;
        return true;
}

static bool difference(const struct bench_arm *a, const struct bench_arm *b, const char *id, double *ret)
{
        return median_of_differences(bench_metric_find(a, id), bench_metric_find(b, id), ret);
}

/* One sentence, growing. */
struct text {
        char   buf[1200];
        size_t len;
};

static void say(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *t, const char *format, ...)
{
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(t->buf + t->len, sizeof(t->buf) - t->len, format, args);
        va_end(args);
        t->len = MIN(t->len + (size_t)MAX(n, 0), sizeof(t->buf) - 1);
}

static double ms(double us)
{
        return us / 1000;
}

/* "0.48 times mmap's (0.30 to 1.01; 8 runs cannot tell them apart, about 12 would)" */
static void say_ratio(struct text *t, const struct bench_arm *a, const struct bench_arm *ref)
{
        struct stats_ratio r = stats_ratio_paired(bench_metric_find(a, "t3"), bench_metric_find(ref, "t3"));

        say(t, "%.3g times %s's", r.ratio, ref->name);
        if (r.verdict == STATS_TOO_FEW)
                say(t, " (too few runs for an interval: %zu of %d)", r.runs, STATS_RUNS_CI);
        else if (r.verdict != STATS_ALIKE)
                say(t, " (%.3g to %.3g)", r.ci.low, r.ci.high);
        else if (r.runs_needed)
                say(t, " (%.3g to %.3g; %zu runs cannot tell them apart, about %zu would)", r.ci.low, r.ci.high, r.runs,
                    r.runs_needed);
        else
                say(t, " (%.3g to %.3g; %zu runs cannot tell them apart, more would hardly)", r.ci.low, r.ci.high, r.runs);
}

static void free_values(struct bench_metric *m)
{
        free(m->values);
}

/* From T3 to T4, round by round; the caller frees its values. */
static struct bench_metric way_to_t4(const struct bench_arm *a)
{
        const struct bench_metric *t3 = bench_metric_find(a, "t3"), *t4 = bench_metric_find(a, "t4");
        struct bench_metric way = {.better = BENCH_LOWER};

        for (size_t i = 0; t3 && t4 && i < t4->nr; i++)
                for (size_t k = 0; k < t3->nr; k++)
                        if (t3->values[k].round == t4->values[i].round) {
                                bench_value_add(&way, t4->values[i].round, t4->values[i].value - t3->values[k].value);
                                break;
                        }
        return way;
}

/* After T3: the way from T3 to T4 is longer by what was put off. */
static void say_paging(struct text *t, const struct bench_arm *a, const struct bench_arm *ref)
{
        _cleanup_(free_values) struct bench_metric mine = way_to_t4(a);
        _cleanup_(free_values) struct bench_metric its = way_to_t4(ref);
        struct stats_ratio r = stats_ratio_paired(&mine, &its);
        double longer;

        if (!median_of_differences(&mine, &its, &longer))
                return;
        if (!stats_told_apart(&r))
                say(t, "; from T3 to T4 %.2f ms %s, which these runs cannot tell from none", ms(longer < 0 ? -longer : longer),
                    longer < 0 ? "less" : "more");
        else if (r.verdict == STATS_HIGHER)
                say(t, "; paging cost %.2f ms afterwards (from T3 to T4)", ms(longer));
        else
                say(t, "; %.2f ms more were saved from T3 to T4", ms(-longer));
}

/* Until the last page is in. */
static void say_total(struct text *t, const struct bench_arm *a, const struct bench_arm *ref)
{
        struct stats_ratio r = stats_ratio_paired(bench_metric_find(a, "t6"), bench_metric_find(ref, "t6"));
        double mine, more;

        if (!median(a, "t6", &mine))
                return;
        if (difference(a, ref, "t6", &more))
                say(t, "; total to T6 %.2f ms, %.2f ms %s than %s%s", ms(mine), ms(more < 0 ? -more : more),
                    more < 0 ? "less" : stats_told_apart(&r) ? "MORE" : "more", ref->name,
                    stats_told_apart(&r) ? "" : ", which these runs cannot tell from none");
        else
                say(t, "; total to T6 %.2f ms, where %s has none", ms(mine), ref->name);
}

static void say_cpu(struct text *t, const struct bench_arm *a, const struct bench_arm *ref)
{
        double mine, its, stall;

        if (median(a, "cpu", &mine) && median(ref, "cpu", &its))
                say(t, "; CPU time %.1f ms (%s %.1f)", ms(mine), ref->name, ms(its));
        if (median(a, "stall", &stall))
                say(t, "; vCPUs waited %.2f ms for pages", ms(stall));
}

/* What moved against the first reference, and what it cost; against the other the ratio alone. */
static void compare_arm(struct bench_group *g, const struct bench_arm *a, const struct bench_arm *const *refs, size_t nr_refs)
{
        struct stats_ratio r = stats_ratio_paired(bench_metric_find(a, "t3"), bench_metric_find(refs[0], "t3"));
        struct text t = {.len = 0};
        double saved;

        say(&t, "%s: ", a->name);
        if (!difference(refs[0], a, "t3", &saved)) {
                bench_word_add(g, "%s and %s have no round in common: they cannot be compared.", a->name, refs[0]->name);
                return;
        }
        if (stats_told_apart(&r))
                say(&t, "T3 %s %.2f ms, ", saved >= 0 ? "saved" : "LOST", ms(saved >= 0 ? saved : -saved));
        else /* nobody has saved or lost what cannot be told from noise */
                say(&t, "T3 came %.2f ms %s in the median, ", ms(saved >= 0 ? saved : -saved), saved >= 0 ? "sooner" : "later");
        say_ratio(&t, a, refs[0]);
        say_paging(&t, a, refs[0]);
        say_total(&t, a, refs[0]);
        if (nr_refs > 1 && difference(refs[1], a, "t3", &saved)) {
                say(&t, ". T3 is ");
                say_ratio(&t, a, refs[1]);
        }
        say_cpu(&t, a, refs[0]);
        bench_word_add(g, "%s.", t.buf);
}

/* Those that put something off; eager and its naive kin do not. */
static bool is_lazy(const struct bench_arm *a)
{
        return strncmp(a->name, "eager", 5) != 0 || a->peer;
}

/* Rounds that are missing make a comparison one of the others. */
static void tell_gaps(struct bench_group *g, const struct bench_arm *a)
{
        if (a->runs_failed)
                bench_word_add(g, "%s: %u run%s in no figure; the first: %s", a->name, a->runs_failed, a->runs_failed == 1 ? " failed and stands" : "s failed and stand",
                               a->failure ? a->failure : "?");
        if (a->runs_not_cold)
                bench_word_add(g, "%s: %u run%s would not have been cold and were thrown away%s", a->name, a->runs_not_cold, a->runs_not_cold == 1 ? "" : "s",
                               bench_metric_find(a, "t3") ? "." : "; none was cold: there are no figures.");
}

static void tell_hints(struct bench_group *g, const struct bench_arm *a)
{
        double recall, precision, wasted;

        if (median(a, "hints.recall", &recall) && median(a, "hints.precision", &precision) && median(a, "hints.wasted", &wasted))
                bench_word_add(g, "%s: judged by runs that they were not made of, the hints have %.1f %% of the pages that were touched (recall), %.1f %% of theirs were "
                                  "touched (precision), %.1f MiB were brought for nothing.", a->name, 100 * recall, 100 * precision, wasted / (double)MIB);
}

/* A stamp that only the quick ones of an arm's runs came to before their end would make it look quick. */
static void drop_partial(struct bench_group *g, struct bench_arm *a, const char *id, const char *name)
{
        const struct bench_metric *all = bench_metric_find(a, "t3"), *some = bench_metric_find(a, id);

        if (!all || !some || some->nr >= all->nr)
                return;
        bench_word_add(g, "%s: %s came before the end of %zu of %zu runs only, so no figure of it is given; --settle TIME lets a run go on.", a->name, name, some->nr, all->nr);
        bench_metric_remove(a, id);
}

static size_t count(const struct bench_arm *a, const char *id)
{
        const struct bench_metric *m = bench_metric_find(a, id);

        return m ? m->nr : 0;
}

static void compare_with(struct bench_group *g, const struct bench_arm *a, const struct bench_arm *const *refs)
{
        const struct bench_arm *others[2];
        size_t nr = 0;

        for (size_t k = 0; k < 2; k++)
                if (refs[k] && refs[k] != a)
                        others[nr++] = refs[k];
        if (nr)
                compare_arm(g, a, others, nr);
}

/* What no figure above says, because nobody asked for it or nobody can know it. */
static void tell_unknown(struct bench *b, struct bench_group *g)
{
        struct text no_t6 = {.len = 0};
        size_t t4 = 0;

        for (size_t i = 0; i < g->nr_arms; i++) {
                const struct bench_arm *a = &g->arms[i];

                t4 += count(a, "t4");
                if (count(a, "t3") && count(a, "t6") == 0 && !a->peer && strcmp(a->name, "mmap") != 0)
                        say(&no_t6, "%s%s", no_t6.len ? ", " : "", a->name);
        }
        if (t4 == 0)
                bench_word_add(g, "What paging cost after T3 is not known: no line was waited for (--mark REGEX stamps T4).");
        if (no_t6.len)
                bench_word_add(g, "T6, all of the image in memory, was %s for %s.",
                               b->o.settle_ns ? "not reached within --settle" : "not waited for (--settle TIME does)", no_t6.buf);
        if (bench_arm_find(g, "mmap"))
                bench_word_add(g, "mmap has no T6: nobody learns when all is in, and what is not can still be slow, or be cut away with its file.");
}

static void words_of(struct bench *b, struct bench_group *g)
{
        static const char *const names[2] = {"eager", "mmap"};
        const struct bench_arm *refs[2];

        for (size_t k = 0; k < 2; k++) {
                refs[k] = bench_arm_find(g, names[k]);
                if (refs[k])
                        bench_string_set(&g->references[k], names[k]);
        }
        /* peers alone: the first is what the others are held against */
        if (!refs[0] && !refs[1] && g->nr_arms > 1 && g->arms[0].peer) {
                refs[0] = &g->arms[0];
                bench_string_set(&g->references[0], refs[0]->name);
        }
        for (size_t i = 0; i < g->nr_arms; i++) {
                drop_partial(g, &g->arms[i], "t5", "T5");
                drop_partial(g, &g->arms[i], "t6", "T6");
                if (count(&g->arms[i], "t4.ledger") < count(&g->arms[i], "t4")) /* ended before rouse stamped what the bench had seen */
                        bench_metric_remove(&g->arms[i], "t4.ledger");
        }
        for (size_t i = 0; i < g->nr_arms; i++)
                if (is_lazy(&g->arms[i]) && bench_metric_find(&g->arms[i], "t3"))
                        compare_with(g, &g->arms[i], refs);
        tell_unknown(b, g);
        for (size_t i = 0; i < g->nr_arms; i++) {
                if (strcmp(g->arms[i].name, "hints") == 0)
                        tell_hints(g, &g->arms[i]);
                tell_gaps(g, &g->arms[i]);
        }
}

void bench_words(struct bench *b)
{
        for (size_t i = 0; i < b->result.nr_groups; i++)
                if (strcmp(b->result.groups[i].first_metric ? b->result.groups[i].first_metric : "", "t3") == 0)
                        words_of(b, &b->result.groups[i]);
}
