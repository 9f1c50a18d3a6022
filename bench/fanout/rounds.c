/* Every arm with every number of clones, at once and at a steady rate, once a round in an order of chance. */
#include "bench/fanout/fanout.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX   24

/* A burst to be. */
struct cell {
        size_t            arm, size;
        enum fanout_phase phase;
};

struct subject *fanout_subject(struct fanout *f)
{
        return &f->bench.subjects[0];
}

unsigned fanout_steady_starts(unsigned clones)
{
        return clones + MAX(7U, clones / 4);
}

/* --- one burst --- */

/* `rouse restore DIR` with the arm's words. */
static void make_words(const struct subject *s, const struct arm *a, char *timeout, size_t size, const char *argv[WORDS_MAX])
{
        const struct arm_setting *set = &s->setting;
        const char *hints = rouse_arm_has_hints(a) && set->hints ? set->hints : "none";
        const char *first[] = {set->rouse, "restore", s->dir, "--serial", "stdio", "--hints", hints, "--timeout", timeout};
        const char *const *words = rouse_arm_words(a);
        size_t n = 0;

        /* one that is forgotten ends by itself */
        snprintf(timeout, size, "%" PRIu64 "s", set->timeout_ns / NS_PER_S + 600);
        for (size_t i = 0; i < ARRAY_LEN(first); i++)
                argv[n++] = first[i];
        for (size_t i = 0; words[i]; i++)
                argv[n++] = words[i];
        argv[n] = NULL;
}

static int run_burst(struct fanout *f, size_t arm, unsigned clones, enum fanout_phase phase, unsigned *ret_starts,
                     struct burst_result *ret, struct err *e)
{
        struct subject *s = fanout_subject(f);
        const char *argv[WORDS_MAX];
        char timeout[32];
        struct burst_request q = {.argv = argv, .mark = s->setting.mark, .starts = clones, .alive = clones,
                                  .timeout_ns = s->setting.timeout_ns,
                                  .settle_ns = f->settle_ns, .cgroup = &f->cgroup, .stop = &f->bench.stop};

        make_words(s, &s->arms.v[arm], timeout, sizeof(timeout), argv);
        if (phase == FANOUT_STEADY) {
                q.starts = fanout_steady_starts(clones);
                q.every_ns = (uint64_t)((double)NS_PER_S / f->rate);
                q.settle_ns = 0;
        }
        *ret_starts = q.starts;
        return burst_run(&q, ret, e);
}

/* --- what is kept of it --- */

struct bench_group *fanout_group(struct fanout *f, unsigned clones, enum fanout_phase phase)
{
        struct bench_group *g;
        char name[100];

        if (phase == FANOUT_AT_ONCE)
                snprintf(name, sizeof(name), "%u clone%s at once", clones, clones == 1 ? "" : "s");
        else
                snprintf(name, sizeof(name), "%g clones a second, %u at a time", f->rate, clones);
        g = bench_group_get(&f->bench.result, name);
        if (g->subject)
                return g;
        bench_string_set(&g->subject, fanout_subject(f)->dir);
        bench_string_set(&g->cache, "warm");
        bench_string_set(&g->first_metric, phase == FANOUT_AT_ONCE ? "burst" : fanout_subject(f)->setting.mark ? "t4" : "t3");
        bench_string_set(&g->references[0], "eager");
        bench_string_set(&g->references[1], "mmap");
        return g;
}

static struct bench_arm *arm_of(struct fanout *f, const struct cell *c)
{
        const struct arm *a = &fanout_subject(f)->arms.v[c->arm];
        struct bench_arm *ba = bench_arm_get(fanout_group(f, f->sizes[c->size], c->phase), a->name);

        if (!ba->what)
                bench_string_set(&ba->what, strcmp(a->name, "shared") == 0
                                                    ? "clones of one template (memfd, UFFDIO_CONTINUE), with hints"
                                                    : a->what);
        return ba;
}

static void keep(struct bench_arm *a, uint32_t round, const char *id, const char *unit, enum bench_better better, double v)
{
        bench_value_add(bench_metric_get(a, id, unit, better), round, v);
}

static void keep_memory(struct bench_arm *a, uint32_t round, const struct burst_memory *m)
{
        if (m->has_cgroup)
                keep(a, round, "memory.cgroup", "bytes", BENCH_LOWER, (double)m->cgroup_bytes);
        keep(a, round, "memory.pss", "bytes", BENCH_LOWER, (double)m->pss_bytes);
        keep(a, round, "memory.drop", "bytes", BENCH_LOWER, (double)m->drop_bytes);
        keep(a, round, "memory.template", "bytes", BENCH_NEITHER, (double)m->template_bytes);
}

/* Of a burst in which a clone failed only the count is kept: the times and the memory of those that are left are another
 * burst's. */
static void keep_burst(struct fanout *f, const struct cell *c, uint32_t round, unsigned starts, const struct burst_result *r)
{
        struct bench_arm *a = arm_of(f, c);

        keep(a, round, "answered", "count", BENCH_HIGHER, r->succeeded);
        if (r->succeeded < starts) {
                char why[700];

                snprintf(why, sizeof(why), "%u of %u clones answered; the first that did not: %s", r->succeeded, starts,
                         r->failure);
                if (!a->runs_failed++)
                        bench_string_set(&a->failure, why);
                return;
        }
        for (unsigned i = 0; i < starts; i++) {
                keep(a, round, "t3", "us", BENCH_LOWER, r->first_us[i]);
                if (fanout_subject(f)->setting.mark)
                        keep(a, round, "t4", "us", BENCH_LOWER, r->answer_us[i]);
        }
        if (c->phase == FANOUT_AT_ONCE) {
                keep(a, round, "burst", "us", BENCH_LOWER, (double)r->whole_ns / (double)NS_PER_US);
                keep_memory(a, round, &r->memory);
        } else {
                keep(a, round, "rate", "1/s", BENCH_HIGHER, starts / ((double)r->whole_ns / (double)NS_PER_S));
        }
}

static int run_cell(struct fanout *f, const struct cell *c, uint32_t round, struct err *e)
{
        struct burst_result result;
        unsigned starts;
        int r = run_burst(f, c->arm, f->sizes[c->size], c->phase, &starts, &result, e);

        if (r >= 0)
                keep_burst(f, c, round, starts, &result);
        burst_result_free(&result);
        return r;
}

/* --- rounds --- */

static size_t list_cells(struct fanout *f, struct cell *ret)
{
        struct subject *s = fanout_subject(f);
        size_t nr = 0;

        for (int phase = 0; phase < (f->rate > 0 ? FANOUT_PHASES : FANOUT_STEADY); phase++)
                for (size_t i = 0; i < f->nr_sizes; i++)
                        for (size_t a = 0; a < s->arms.nr; a++) {
                                if (!f->fits[i] || s->out[a])
                                        continue;
                                if (ret)
                                        ret[nr] = (struct cell){a, i, (enum fanout_phase)phase};
                                nr++;
                        }
        return nr;
}

int fanout_rounds(struct fanout *f, struct err *e)
{
        size_t nr = list_cells(f, NULL);
        _cleanup_free_ struct cell *cells = calloc(nr + 1, sizeof(*cells));
        _cleanup_free_ size_t *order = calloc(nr + 1, sizeof(*order));
        struct bench *b = &f->bench;
        int r = cells && order ? 0 : err_set(e, -ENOMEM, "no memory for %zu bursts", nr);

        if (r < 0)
                return r;
        list_cells(f, cells);
        for (size_t i = 0; i < nr; i++)
                arm_of(f, &cells[i]); /* in the order that they were asked for */
        progress_begin(&b->progress, nr * f->common.runs);
        for (uint32_t round = 1; round <= f->common.runs && r >= 0; round++) {
                bench_shuffle(order, nr, &b->random);
                for (size_t i = 0; i < nr && r >= 0; i++) {
                        const struct cell *c = &cells[order[i]];
                        char what[100];

                        snprintf(what, sizeof(what), "round %u, %.40s, %u clones", round, fanout_subject(f)->arms.v[c->arm].name,
                                 f->sizes[c->size]);
                        progress_next(&b->progress, what);
                        r = run_cell(f, c, round, e);
                }
        }
        progress_hide(&b->progress);
        return r;
}

/* --- once, and thrown away --- */

static void leave_out(struct fanout *f, size_t arm, const char *why)
{
        struct bench *b = &f->bench;
        struct subject *s = fanout_subject(f);

        s->out[arm] = true;
        progress_hide(&b->progress);
        fprintf(stderr, "rouse bench fanout: %s: left out: %s\n", s->arms.v[arm].name, why);
        b->failed |= b->o.arms_named;
}

static uint64_t most_of(const struct burst_memory *m)
{
        uint64_t most = MAX(m->pss_bytes, m->has_cgroup ? m->cgroup_bytes : 0);

        return m->drop_bytes > 0 ? MAX(most, (uint64_t)m->drop_bytes) : most;
}

/* Two clones in turn: one may fail because of what is tested, both do because of the arm. */
static int warm_up_arm(struct fanout *f, size_t arm, struct err *e)
{
        char failure[600] = "";

        for (int i = 0; i < 2; i++) {
                struct burst_result result;
                unsigned starts;
                int r = run_burst(f, arm, 1, FANOUT_AT_ONCE, &starts, &result, e);

                if (r >= 0 && result.succeeded)
                        f->one_bytes[arm] = most_of(&result.memory);
                snprintf(failure, sizeof(failure), "%s", result.failure);
                burst_result_free(&result);
                if (r < 0 || !failure[0])
                        return r;
        }
        leave_out(f, arm, failure);
        return 0;
}

int fanout_warm_up(struct fanout *f, struct err *e)
{
        struct subject *s = fanout_subject(f);
        int r = 0;
        size_t left = 0;

        progress_begin(&f->bench.progress, s->arms.nr);
        for (size_t a = 0; a < s->arms.nr && r >= 0; a++) {
                if (s->out[a])
                        continue;
                progress_next(&f->bench.progress, "warming up");
                r = warm_up_arm(f, a, e);
                left += !s->out[a];
        }
        progress_hide(&f->bench.progress);
        return r < 0 || left ? r : err_set(e, -ENODEV, "none of the arms can be had here");
}
