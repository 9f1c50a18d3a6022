/* bench/populate/rounds.c: every step beside every other, in an order of chance: what one leaves behind (memory that the host has
 * found, or has not) is the next one's luck. */
#include "bench/floors/floors.h"
#include "bench/floors/memory.h"
#include "bench/populate/populate.h"
#include "bench/run/guest_run.h"
#include "bench/run/progress.h"

#include <errno.h>
#include <stdlib.h>

static const struct {
        const char *name, *subject, *cache;
} groups[PARTS] = {
        [PART_WARM] = { "raw file, warm", "a raw file in the page cache", "warm" },
        [PART_COLD] = { "raw file, cold", "a raw file that is not in the page cache", "cold" },
        [PART_SNAPSHOT] = { "snapshot, warm", "a snapshot made here", "warm" },
        [PART_BACKINGS] = { "what stands behind RAM", "a raw file in the page cache, into memory of several kinds", "warm" },
};

const char *populate_group(enum populate_part part)
{
        return groups[part].name;
}

void populate_keep_rate(struct populate *p, enum populate_part part, const char *arm, uint32_t round, double rate)
{
        struct bench_arm *a = bench_arm_get(bench_group_get(p->r, populate_group(part)), arm);

        if (round > 0)
                bench_value_add(bench_metric_get(a, "rate", "bytes/s", BENCH_HIGHER), round, rate);
}

void populate_keep(struct populate *p, enum populate_part part, const char *arm, uint32_t round, const struct filled *f)
{
        struct bench_arm *a;

        populate_keep_rate(p, part, arm, round, f->rate);
        a = bench_arm_get(bench_group_get(p->r, populate_group(part)), arm);
        if (round > 0)
                bench_value_add(bench_metric_get(a, "pager_cpu_per_page", "us", BENCH_LOWER), round, f->cpu_us);
}

/* Groups and arms stand in the table's order, whatever runs first. */
static void name_arms(struct populate *p)
{
        for (size_t i = 0; i < nr_populate_steps; i++) {
                const struct step  *s = &populate_steps[i];
                struct bench_group *g;

                if (!p->o->parts[s->part])
                        continue;
                g = bench_group_get(p->r, populate_group(s->part));
                bench_string_set(&g->subject, s->part == PART_SNAPSHOT && p->o->dir ? p->o->dir : groups[s->part].subject);
                bench_string_set(&g->cache, groups[s->part].cache);
                bench_string_set(&g->first_metric, "rate");
                if (s->floor)
                        bench_string_set(&g->references[g->references[0] ? 1 : 0], s->arm);
                bench_string_set(&bench_arm_get(g, s->arm)->what, s->what);
        }
}

static void run_step(struct populate *p, const struct step *s, uint32_t round)
{
        struct bench_arm *a;
        struct err        e = { 0 };

        if (!p->o->parts[s->part] || !s->run || s->run(p, s, round, &e) >= 0)
                return;
        a = bench_arm_get(bench_group_get(p->r, populate_group(s->part)), s->arm);
        if (!a->failure)
                bench_string_set(&a->failure, e.text);
}

static void run_round(struct populate *p, uint32_t round, struct progress *bar)
{
        uint64_t order[64];

        memory_shuffle(order, nr_populate_steps, p->o->seed * 7919 + round);
        for (size_t i = 0; i < nr_populate_steps && !guest_stop_asked(p->o->stop); i++) {
                progress_next(bar, populate_steps[order[i]].arm);
                run_step(p, &populate_steps[order[i]], round);
        }
}

void populate_measure(const struct populate_options *o, struct bench_result *r)
{
        struct populate p = { .o = o, .r = r };
        struct floors  *floors;
        struct progress bar;
        struct err      e = { 0 };

        memory_warm_host(3 * o->memory_bytes);
        if (o->parts[PART_SNAPSHOT]) /* first: its scratch directory has a guard, a fork that must not share what is measured */
                populate_subject_open(&p.subject, o);
        rig_open(&p.rig, o->tmp, bytes_to_pages(o->memory_bytes));
        if (floors_open(&(struct floors_config){ .seed = o->seed, .bytes = MIN(o->memory_bytes, 64 * MIB) }, &floors, &e) < 0)
                floor_die(e.text, -e.code);
        name_arms(&p);
        progress_begin(&bar, (o->runs + 1) * nr_populate_steps);
        for (uint32_t round = 0; round <= o->runs && !guest_stop_asked(o->stop); round++) {
                run_round(&p, round, &bar);
                if (round > 0 && !guest_stop_asked(o->stop))
                        floors_round(floors, r, round);
        }
        progress_hide(&bar);
        floors_close(floors);
        if (o->parts[PART_SNAPSHOT])
                populate_subject_close(&p.subject);
        rig_close(&p.rig);
}
