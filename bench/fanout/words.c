/* The line through each round's memory over its numbers of clones, and the last lines in words. */
#include "bench/fanout/fanout.h"
#include "bench/fanout/line.h"
#include "bench/stats/stats.h"
#include "core/base/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which memory, of which a line is drawn. */
struct basis {
        const char *id, *slope, *intercept, *words;
};

static const struct basis bases[] = {
        {"memory.cgroup", "slope.cgroup", "intercept.cgroup", "its cgroup"},
        {"memory.pss", "slope.pss", "intercept.pss", "PSS"},
        {"memory.drop", "slope.drop", "intercept.drop", "the drop of MemAvailable"},
};

#define POINTS_MAX 4096

struct points {
        double x[POINTS_MAX], y[POINTS_MAX];
        size_t nr;
};

/* Of one round, or (0) of all. */
static void collect(struct fanout *f, const char *arm, const char *id, uint32_t round, struct points *ret)
{
        ret->nr = 0;
        for (size_t i = 0; i < f->nr_sizes; i++) {
                const struct bench_arm *a = f->fits[i] ? bench_arm_find(fanout_group(f, f->sizes[i], FANOUT_AT_ONCE), arm) : NULL;
                const struct bench_metric *m = a ? bench_metric_find(a, id) : NULL;

                for (size_t k = 0; m && k < m->nr && ret->nr < POINTS_MAX; k++)
                        if (!round || m->values[k].round == round) {
                                ret->x[ret->nr] = f->sizes[i];
                                ret->y[ret->nr++] = m->values[k].value;
                        }
        }
}

/* Slope and intercept are values of a round: the burst is the unit, and so is the line through the bursts of a round. */
static void add_lines(struct fanout *f, struct bench_group *g, const char *arm, struct points *p)
{
        for (size_t i = 0; i < ARRAY_LEN(bases); i++)
                for (uint32_t round = 1; round <= f->common.runs; round++) {
                        struct bench_arm *a = bench_arm_get(g, arm);
                        struct line line;

                        collect(f, arm, bases[i].id, round, p);
                        if (!line_fit(p->x, p->y, p->nr, &line))
                                continue;
                        bench_value_add(bench_metric_get(a, bases[i].slope, "bytes", BENCH_LOWER), round, line.slope);
                        bench_value_add(bench_metric_get(a, bases[i].intercept, "bytes", BENCH_LOWER), round, line.intercept);
                }
}

static double mib(double bytes)
{
        return bytes / (double)MIB;
}

/* "shared: 31.2 MiB + 2.91 MiB (+- 0.05) a clone by PSS, ..." */
static void add_line_words(struct fanout *f, struct bench_group *g, const char *arm, struct points *p)
{
        char text[600] = "";
        size_t len = 0;

        for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
                char error[96] = "";
                struct line line;

                collect(f, arm, bases[i].id, 0, p);
                if (!line_fit(p->x, p->y, p->nr, &line))
                        continue;
                if (line.has_error)
                        snprintf(error, sizeof(error), " (standard error %.2f%s)", mib(line.slope_error),
                                 fabs(line.slope) < 2 * line.slope_error ? ": cannot be told from none" : "");
                len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.1f MiB and %.2f MiB%s for each clone by %s",
                                        len ? "; " : "", mib(line.intercept), mib(line.slope), error, bases[i].words);
                len = MIN(len, sizeof(text) - 1);
        }
        if (len)
                bench_word_add(g, "%s: %s.", arm, text);
}

static void add_template_words(struct fanout *f, struct bench_group *g, size_t largest)
{
        const struct bench_arm *a = bench_arm_find(fanout_group(f, f->sizes[largest], FANOUT_AT_ONCE), "shared");
        struct stats_summary s;

        if (!a || !stats_summarize(bench_metric_find(a, "memory.template"), &s))
                return;
        bench_word_add(g, "shared: the template holds %.1f MiB with %u clones, and is charged once on each basis: its cgroup "
                       "has it as the memory of whoever touched it first; to PSS all of it is added, mapped or not, instead of "
                       "the parts that are mapped.", mib(s.p50), f->sizes[largest]);
}

static void draw_lines(struct fanout *f)
{
        static const char why[] = "By cgroup: with page tables, page cache and shared memory that its VMs touched first. By "
                                  "PSS: pages that processes map, each shared one in parts. By MemAvailable: all that the "
                                  "machine has less.";
        struct subject *s = fanout_subject(f);
        struct bench_group *g;
        struct points *p = calloc(1, sizeof(*p));
        size_t largest = 0, nr = 0;

        for (size_t i = 0; i < f->nr_sizes; i++)
                if (f->fits[i]) {
                        largest = nr++ && f->sizes[i] < f->sizes[largest] ? largest : i;
                }
        if (p && nr > 1) {
                bench_group_get(&f->bench.result, FANOUT_LINES);
                for (size_t a = 0; a < s->arms.nr; a++)
                        if (!s->out[a])
                                add_lines(f, bench_group_get(&f->bench.result, FANOUT_LINES), s->arms.v[a].name, p);
                g = bench_group_get(&f->bench.result, FANOUT_LINES);
                bench_string_set(&g->subject, s->dir);
                bench_string_set(&g->first_metric, "slope.pss");
                bench_string_set(&g->references[1], "mmap");
                for (size_t a = 0; a < s->arms.nr; a++)
                        if (!s->out[a])
                                add_line_words(f, g, s->arms.v[a].name, p);
                add_template_words(f, g, largest);
                bench_word_add(g, "%s", why);
                bench_word_add(g, "Looked at %g s after the last answer (--settle); what is filled in behind the guests until "
                               "then counts, what comes later does not.",
                               (double)f->settle_ns / (double)NS_PER_S);
                if (!f->cgroup.version)
                        bench_word_add(g, "No cgroup of the bench's own could be made, so that basis is missing: %s.",
                                       f->cgroup.why);
        }
        free(p);
}

static double median_of(const struct bench_arm *a, const char *id)
{
        struct stats_summary s;

        return stats_summarize(bench_metric_find(a, id), &s) ? s.p50 : 0;
}

/* Success is counted over all bursts, also those of which nothing else is kept. */
static void add_success(struct bench_group *g, const struct bench_arm *a, unsigned starts)
{
        const struct bench_metric *m = bench_metric_find(a, "answered");
        double answered = 0;

        for (size_t i = 0; m && i < m->nr; i++)
                answered += m->values[i].value;
        if (m && answered < (double)starts * (double)m->nr)
                bench_word_add(g, "%s: %.0f of %.0f clones answered in %zu bursts; bursts with a failure stand in no time and "
                               "no memory. The first: %s", a->name, answered,
                               (double)starts * (double)m->nr, m->nr, a->failure ? a->failure : "");
}

static bool all_answered(const struct bench_group *g)
{
        size_t bursts = 0;

        for (size_t i = 0; i < g->nr_arms; i++) {
                if (g->arms[i].runs_failed)
                        return false;
                bursts += bench_metric_find(&g->arms[i], "answered") != NULL;
        }
        return bursts > 0;
}

/* What was asked for, and what each arm came to. */
static void add_rates(struct fanout *f, struct bench_group *g)
{
        char text[500] = "";
        size_t len = 0;

        for (size_t i = 0; i < g->nr_arms; i++) {
                const struct bench_arm *a = &g->arms[i];
                double rate = median_of(a, "rate");

                if (rate > 0)
                        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %.2f", len ? ", " : "", a->name, rate);
                len = MIN(len, sizeof(text) - 1);
        }
        if (len)
                bench_word_add(g, "Of %g clones a second that were asked for: %s.", f->rate, text);
}

static void burst_words(struct fanout *f, struct bench_group *g, enum fanout_phase phase, unsigned starts)
{
        const struct bench_arm *mmap = bench_arm_find(g, "mmap");

        if (all_answered(g))
                bench_word_add(g, "All clones of all arms answered: %u of %u in every burst.", starts, starts);
        for (size_t i = 0; i < g->nr_arms; i++) {
                const struct bench_arm *a = &g->arms[i];
                struct stats_ratio r = stats_ratio_paired(bench_metric_find(a, g->first_metric),
                                                          mmap ? bench_metric_find(mmap, g->first_metric) : NULL);
                char text[300];

                add_success(g, a, starts);
                /* the table says that they cannot be told apart */
                if (strcmp(a->name, "mmap") == 0 || !stats_told_apart(&r))
                        continue;
                stats_ratio_words(text, sizeof(text), &r, a->name, "mmap", "sooner", "later");
                bench_word_add(g, "%s: %s.",
                               phase == FANOUT_AT_ONCE ? "Until the last answered" : "Until a clone that was due answered", text);
        }
        if (phase == FANOUT_STEADY)
                add_rates(f, g);
}

void fanout_words(struct fanout *f)
{
        for (size_t i = 0; i < f->nr_sizes; i++) {
                if (!f->fits[i])
                        continue;
                burst_words(f, fanout_group(f, f->sizes[i], FANOUT_AT_ONCE), FANOUT_AT_ONCE, f->sizes[i]);
                if (f->rate > 0)
                        burst_words(f, fanout_group(f, f->sizes[i], FANOUT_STEADY), FANOUT_STEADY,
                                    fanout_steady_starts(f->sizes[i]));
        }
        draw_lines(f);
        for (size_t i = 0; i < f->nr_sizes && f->bench.result.nr_groups; i++)
                if (!f->fits[i])
                        bench_word_add(&f->bench.result.groups[0], "%u clones were left out: %s.", f->sizes[i], f->lacks[i]);
}
