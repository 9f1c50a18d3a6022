/* The zero-touch control: a guest that has 64 MiB of data and touches none of it is restored by each arm, and its memory is
 * looked at at T3 and a while later. What has been added by then, nobody asked for: that arm reads everything as eager does, only
 * later. */
#include "bench/run/bench.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS      2
#define WHILE_NS    NS_PER_S
#define PATIENCE_NS (60 * NS_PER_S)
#define CLIMB_PART  20 /* of the data: more than one in so many is a climb */

/* Where it stands in the build, or where it was installed. */
static int find_guest(char ret[4400], struct err *e)
{
        char exe[4096];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        char *slash;

        exe[n < 0 ? 0 : n] = 0;
        slash = strrchr(exe, '/');
        if (slash)
                *slash = 0;
        snprintf(ret, 4400, "%s/guest/idle.bin", exe);
        if (access(ret, R_OK) == 0)
                return 0;
        snprintf(ret, 4400, "%s/../../share/rouse/idle.bin", exe);
        if (access(ret, R_OK) == 0)
                return 0;
        return err_set(e, -ENOENT, "the guest of the control is neither %s/guest/idle.bin nor %s; 'make' builds it, 'make install' installs it", exe, ret);
}

static int boot_and_save(struct bench *b, const char *guest, const char *dir, const char *scratch, struct err *e)
{
        char qmp[4300];
        const char *argv[] = {b->rouse, "run", "--kernel", guest, "--memory", "128M", "--qmp", qmp, "--timeout", "120s", NULL};
        struct arm_setting s = {.rouse = b->rouse, .scratch = scratch, .mark = "^IDLE 2$", .timeout_ns = PATIENCE_NS, .stop = &b->stop};
        struct arm_request q = {.setting = &s};
        struct metric_values m;
        struct guest_run g;
        enum guest_event ev;
        int r = guest_run_init(&g, &q, e);

        if (r < 0)
                return r;
        snprintf(qmp, sizeof(qmp), "unix=%s/qmp", scratch);
        r = guest_run_start(&g, argv, NULL, GUEST_SERIAL_STDOUT, NULL, e);
        if (r >= 0) {
                ev = guest_run_wait(&g, -1, 0, 0);
                if (ev != GUEST_DONE)
                        r = guest_run_explain(&g, ev, "control", e);
        }
        if (r >= 0)
                r = bench_rouse(b, "/dev/null", (const char *const[]){"snapshot", "--qmp", qmp, dir, "--then", "quit", NULL}, e);
        guest_run_end(&g, false, &m);
        return r;
}

/* The arms that can wake any snapshot, and the lazy one without its fill. */
static int make_subject(struct bench *b, const char *dir, struct subject *ret, struct err *e)
{
        size_t peers = b->o.nr_peers;
        int r;

        b->o.nr_peers = 0; /* a peer has snapshots of its own kind */
        r = subject_open(b, dir, ret, e);
        b->o.nr_peers = peers;
        if (r < 0)
                return r;
        for (size_t i = 0; i < b->nr_subjects; i++) /* what cannot be had here was told already */
                for (size_t a = 0; a < ret->arms.nr; a++)
                        ret->out[a] |= b->subjects[i].out[a] && b->subjects[i].arms.v[a].in_control;
        rouse_arm_add(&ret->arms, ROUSE_ARM_NO_FILL);
        ret->control = true;
        ret->setting.mark = NULL;
        ret->setting.settle_ns = WHILE_NS;
        return bench_record_hints(b, ret, e);
}

static int run_arm(struct subject *s, struct bench_group *g, struct arm *a, uint32_t round, struct err *e)
{
        struct arm_request q = {.setting = &s->setting};
        struct bench_arm *ba = bench_arm_get(g, a->name);
        struct metric_values m;
        struct err why = {0};
        int r = subject_fill_cache(s, a, e);

        if (r < 0)
                return r;
        ba->control = true;
        bench_string_set(&ba->what, a->what);
        r = a->ops->run(a, &q, &m, &why);
        if (r == -ECANCELED)
                *e = why;
        else if (r < 0 && !ba->runs_failed++)
                bench_string_set(&ba->failure, why.text);
        if (r >= 0) {
                metrics_keep(ba, round, &m);
                bench_value_add(bench_metric_get(ba, "rss.climb", "bytes", BENCH_LOWER), round,
                                m.v[METRIC_RSS_END] - m.v[METRIC_RSS_T3]);
        }
        return r == -ECANCELED ? r : 0;
}

/* The highest: one climb is one too many. */
static double highest(const struct bench_arm *a, const char *id)
{
        const struct bench_metric *m = bench_metric_find(a, id);
        double v = 0;

        for (size_t i = 0; m && i < m->nr; i++)
                v = MAX(v, m->values[i].value);
        return v;
}

static void judge(struct bench_group *g, const struct bench_arm *a, uint64_t data_bytes)
{
        double climb = highest(a, "rss.climb") / (double)MIB, at_t3 = highest(a, "rss.t3") / (double)MIB, data = (double)data_bytes / (double)MIB;

        if (!bench_metric_find(a, "rss.climb"))
                return;
        if (climb > data / CLIMB_PART)
                bench_word_add(g, "%s: eager in disguise: %.1f MiB at T3, and %.1f MiB more %.0f s after T0, of %.0f MiB of data that the guest does not touch%s.", a->name,
                               at_t3, climb, (double)WHILE_NS / (double)NS_PER_S, data,
                               strcmp(a->name, "eager") && strncmp(a->name, "eager", 5) ? "; it fills in behind the guest (rouse restore --fill off does not)" : "");
        else if (at_t3 > data)
                bench_word_add(g, "%s: all %.0f MiB of data are there at T3, touched or not: it is eager.", a->name, data);
        else
                bench_word_add(g, "%s: %.1f MiB at T3 and %.1f MiB more %.0f s after T0: what is not touched stays out.", a->name, at_t3, MAX(climb, 0.0),
                               (double)WHILE_NS / (double)NS_PER_S);
}

static int run_rounds(struct bench *b, struct subject *s, struct bench_group *g, struct err *e)
{
        size_t order[ARMS_MAX];
        int r = 0;

        progress_begin(&b->progress, s->arms.nr * ROUNDS);
        for (uint32_t round = 1; round <= MIN((unsigned)ROUNDS, b->o.runs); round++) {
                bench_shuffle(order, s->arms.nr, &b->random);
                for (size_t i = 0; i < s->arms.nr && r >= 0; i++) {
                        progress_next(&b->progress, "control");
                        if (!s->out[order[i]])
                                r = run_arm(s, g, &s->arms.v[order[i]], round, e);
                }
        }
        progress_hide(&b->progress);
        for (size_t i = 0; i < g->nr_arms; i++)
                judge(g, &g->arms[i], s->data_bytes);
        return r;
}

int bench_control(struct bench *b, struct err *e)
{
        struct subject *s = calloc(1, sizeof(*s));
        char guest[4400], scratch[4200], dir[4300];
        struct bench_group *g;
        int r = s ? find_guest(guest, e) : err_set(e, -ENOMEM, "no memory for the control");

        if (r >= 0)
                r = scratch_subdir(&b->scratch, "control", scratch, sizeof(scratch), e);
        if (r >= 0)
                snprintf(dir, sizeof(dir), "%s/idle", scratch);
        if (r >= 0)
                r = boot_and_save(b, guest, dir, scratch, e);
        if (r >= 0)
                r = make_subject(b, dir, s, e);
        if (r >= 0) {
                g = bench_subject_group(b, s, CACHE_WARM);
                bench_string_set(&g->subject, "guest idle, 128 MiB, 64 MiB of them data");
                bench_string_set(&g->first_metric, "rss.climb");
                r = run_rounds(b, s, g, e);
                subject_close(s);
        }
        free(s);
        return r;
}
