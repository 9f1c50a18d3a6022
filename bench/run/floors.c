/* After the rounds, in the same program: what this machine does with bare calls, over the first snapshot's memory file and
 * layout. */
#include "bench/run/bench.h"

#include "bench/floors/floors.h"
#include "bench/floors/kvm_calls.h"
#include "core/base/units.h"
#include "core/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* An interval needs six (STATS_RUNS_CI), and rouse bench compare tells a shift of the machine by these. */
#define ROUNDS 7

static void keep_kvm(struct bench *b, const struct inspection *i, uint32_t round)
{
        struct bench_arm *a = bench_arm_get(&b->result.floors, "KVM calls");
        struct err e = {0};
        double us;

        bench_string_set(&a->what, "the KVM calls of a restore with as much memory and as many vCPUs, one after another: no file, no page, no guest");
        if (kvm_calls_measure(i->layout, i->vm->nr_vcpus, &us, &e) >= 0)
                bench_value_add(bench_metric_get(a, "time", "us", BENCH_LOWER), round, us);
        else if (!a->runs_failed++)
                bench_string_set(&a->failure, e.text);
}

static const char *memory_file(const struct subject *s, char path[4300])
{
        snprintf(path, 4300, "%s/memory", s->dir);
        return access(path, R_OK) == 0 ? path : NULL;
}

/* i: NULL where nobody has looked into the snapshot, and what it asks of KVM is not known. */
static int measure(struct bench *b, const struct inspection *i, struct floors *f, struct err *e)
{
        for (uint32_t round = 1; round <= ROUNDS; round++) {
                if (guest_stop_asked(&b->stop))
                        return err_set(e, -ECANCELED, "stopped by signal %d", b->stop.signal);
                progress_next(&b->progress, "floors");
                if (i)
                        keep_kvm(b, i, round);
                floors_round(f, &b->result, round);
        }
        return 0;
}

int bench_floors(struct bench *b, struct err *e)
{
        struct subject *s = &b->subjects[0];
        struct inspection i = {0};
        struct floors *f = NULL;
        char path[4300];
        struct floors_config c = {.file = memory_file(s, path), .seed = b->o.seed};
        bool known = b->o.nr_arms > 0;
        int r;

        r = known ? inspect_open(s->dir, &(struct inspect_options){0}, &i, e) : 0;
        if (r >= 0)
                r = floors_open(&c, &f, e);
        progress_begin(&b->progress, ROUNDS);
        bench_string_set(&b->result.floors.name, "floors");
        bench_string_set(&b->result.floors.subject, s->dir);
        if (r >= 0)
                r = measure(b, known ? &i : NULL, f, e);
        progress_hide(&b->progress);
        floors_close(f);
        if (known)
                inspect_close(&i);
        return r;
}
