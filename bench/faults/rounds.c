/* bench/faults/rounds.c: every mechanism beside every other, in an order of chance, round by round. */
#include "bench/faults/faults.h"
#include "bench/floors/floors.h"
#include "bench/floors/memory.h"
#include "bench/floors/touch.h"
#include "bench/run/guest_run.h"
#include "bench/run/progress.h"
#include "bench/stats/stats.h"
#include "core/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Threads, an order and a page size: what stands side by side. */
struct setting {
        struct ground *ground;
        unsigned       threads, touches; /* touches: of each thread */
        bool           in_order;
        char           name[80];
};

#define SETTINGS_MAX (2 * 2 * FAULTS_THREADS_MAX)

struct faults {
        const struct faults_options *o;
        struct bench_result         *r;
        struct ground                grounds[2];
        struct setting               settings[SETTINGS_MAX];
        size_t                       nr_settings;
        struct floors               *floors;
        double                      *us; /* of one run */
};

static void add(struct bench_arm *a, uint32_t round, const char *id, double v)
{
        bench_value_add(bench_metric_get(a, id, "us", BENCH_LOWER), round, v);
}

/* p99.9 of a thousand touches is one touch; of fewer it is none. */
#define TOUCHES_P999 1000

static void keep(struct bench_arm *a, uint32_t round, double *us, size_t n, double cpu_us, double answer_cpu_us, bool answered)
{
        double sum = 0;

        for (size_t i = 0; i < n; i++)
                sum += us[i];
        stats_sort(us, n);
        add(a, round, "p50", stats_quantile(us, n, 0.5));
        add(a, round, "p99", stats_quantile(us, n, 0.99));
        if (n >= TOUCHES_P999)
                add(a, round, "p999", stats_quantile(us, n, 0.999));
        add(a, round, "mean", sum / (double)n);
        add(a, round, "cpu_per_touch", cpu_us / (double)n);
        if (answered)
                add(a, round, "pager_cpu_per_touch", answer_cpu_us / (double)n);
}

static void measure(struct faults *f, const struct setting *s, const struct mechanism *m, struct bench_arm *a, uint32_t round)
{
        struct ground    *g = s->ground;
        struct touched    t = { 0 };
        struct touch_plan p = { .us = f->us, .threads = s->threads, .touches = s->touches, .pages = s->in_order ? g->in_order : g->order,
                                .stride = s->in_order ? g->nr_units / s->threads : s->touches, .page_bytes = g->page_bytes, .write = m->write };
        struct err        e = { 0 };
        uint64_t          cpu, answer_cpu;
        int               r = m->check ? m->check(g, &e) : 0;

        if (r >= 0)
                r = m->begin(g, s->threads < g->rig.caps.nr_cpus, &t, &e);
        if (r >= 0) {
                p.memory = t.memory;
                answer_cpu = touched_cpu_ns(&t);
                cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
                touch_run(&p);
                cpu = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
                answer_cpu = touched_cpu_ns(&t) - answer_cpu;
                if (round > 0)
                        keep(a, round, f->us, (size_t)s->threads * s->touches, (double)cpu / (double)NS_PER_US, (double)answer_cpu / (double)NS_PER_US, t.bare || t.pager);
        } else if (!a->failure) {
                bench_string_set(&a->failure, e.text);
        }
        touched_end(&t);
}

static void run_round(struct faults *f, uint32_t round, struct progress *bar)
{
        size_t    nr = f->nr_settings * nr_mechanisms;
        uint64_t *order = calloc(nr + 1, sizeof(*order));

        if (!order)
                floor_die("order", ENOMEM);
        for (size_t i = 0; i < ARRAY_LEN(f->grounds); i++)
                if (f->grounds[i].page_bytes)
                        memory_shuffle(f->grounds[i].order, f->grounds[i].nr_units, f->o->seed + round);
        memory_shuffle(order, nr, f->o->seed * 7919 + round);
        for (size_t i = 0; i < nr && !guest_stop_asked(f->o->stop); i++) {
                const struct setting   *s = &f->settings[order[i] / nr_mechanisms];
                const struct mechanism *m = &mechanisms[order[i] % nr_mechanisms];

                progress_next(bar, m->name);
                if (s->ground->huge ? m->huge : m->small)
                        measure(f, s, m, bench_arm_get(bench_group_get(f->r, s->name), m->name), round);
        }
        free(order);
        if (round > 0 && !guest_stop_asked(f->o->stop))
                floors_round(f->floors, f->r, round);
}

/* The arms stand in the table's order, whatever runs first. */
static void name_arms(struct faults *f, const struct setting *s)
{
        struct bench_group *g = bench_group_get(f->r, s->name);

        bench_string_set(&g->subject, s->ground->huge ? "a touch of a page of 2 MiB" : "a touch of a page of 4 KiB");
        bench_string_set(&g->first_metric, s->in_order ? "mean" : "p50");
        bench_string_set(&g->references[0], FAULTS_FLOOR);
        bench_string_set(&g->references[1], s->ground->huge ? NULL : "MAP_PRIVATE, read");
        for (size_t i = 0; i < nr_mechanisms; i++)
                if (s->ground->huge ? mechanisms[i].huge : mechanisms[i].small)
                        bench_string_set(&bench_arm_get(g, mechanisms[i].name)->what, mechanisms[i].what);
}

static void add_setting(struct faults *f, struct ground *g, unsigned threads, bool in_order)
{
        uint64_t        touches = MIN(f->o->touches, g->nr_units) / threads;
        struct setting *s = &f->settings[f->nr_settings++];

        *s = (struct setting){ .ground = g, .threads = threads, .touches = MAX((unsigned)touches, 1U), .in_order = in_order };
        snprintf(s->name, sizeof(s->name), "%s, %s, %u thread%s", g->huge ? "2 MiB" : "4 KiB", in_order ? "in order" : "random",
                 threads, threads == 1 ? "" : "s");
        name_arms(f, s);
}

/* A page of 2 MiB has no neighbours that come along: no order is like another. */
static void add_ground(struct faults *f, struct ground *g, bool huge)
{
        ground_open(g, f->o, huge);
        for (int in_order = 0; in_order < (huge ? 1 : 2); in_order++)
                for (size_t i = 0; i < f->o->nr_threads; i++)
                        add_setting(f, g, f->o->threads[i], in_order);
}

void faults_measure(const struct faults_options *o, struct bench_result *r)
{
        struct faults *f = calloc(1, sizeof(*f));
        struct progress bar;
        struct err     e = { 0 };

        if (!f || !(f->us = calloc((size_t)o->touches + TOUCH_THREADS_MAX, sizeof(*f->us))))
                floor_die("samples", ENOMEM);
        f->o = o;
        f->r = r;
        memory_warm_host(2 * o->memory_bytes);
        if (o->small)
                add_ground(f, &f->grounds[0], false);
        if (o->huge)
                add_ground(f, &f->grounds[1], true);
        if (floors_open(&(struct floors_config){ .seed = o->seed, .bytes = MIN(o->memory_bytes, 64 * MIB) }, &f->floors, &e) < 0)
                floor_die(e.text, -e.code);
        progress_begin(&bar, (o->runs + 1) * f->nr_settings * nr_mechanisms);
        for (uint32_t round = 0; round <= o->runs && !guest_stop_asked(o->stop); round++)
                run_round(f, round, &bar);
        progress_hide(&bar);
        floors_close(f->floors);
        for (size_t i = 0; i < ARRAY_LEN(f->grounds); i++)
                ground_close(&f->grounds[i]);
        free(f->us);
        free(f);
}
