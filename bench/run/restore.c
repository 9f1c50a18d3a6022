/* rouse bench restore: the parts in order, then the report: also of what there is when the user stops it. */
#include "bench/run/bench.h"

#include "bench/describe.h"
#include "bench/verb.h"
#include "core/base/units.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORD "restore"

/* The rouse that this program belongs to: beside it in a build, in bin once installed (tools/libexec.c looks the other way). */
static int find_rouse(struct bench *b, struct err *e)
{
        char exe[4096], *slash;
        ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

        if (b->o.rouse) {
                snprintf(b->rouse, sizeof(b->rouse), "%s", b->o.rouse);
                return access(b->rouse, X_OK) == 0 ? 0 : err_set(e, -errno, "--rouse %s: %s", b->rouse, strerror(errno));
        }
        exe[n < 0 ? 0 : n] = 0;
        slash = strrchr(exe, '/');
        if (slash)
                *slash = 0;
        snprintf(b->rouse, sizeof(b->rouse), "%s/rouse", exe);
        if (access(b->rouse, X_OK) == 0)
                return 0;
        snprintf(b->rouse, sizeof(b->rouse), "%s/../../bin/rouse", exe);
        if (access(b->rouse, X_OK) == 0)
                return 0;
        return err_set(e, -ENOENT, "rouse is neither %s/rouse nor %s; name it with --rouse PATH", exe, b->rouse);
}

/* Templates, sockets and machines of the runs are found by nobody else, and find nobody else's. Where rouse keeps indexes stays
 * the user's. */
static int keep_apart(const struct bench *b, struct err *e)
{
        char dir[4200];
        int r = scratch_subdir(&b->scratch, "run", dir, sizeof(dir), e);

        if (r >= 0 && (setenv("XDG_RUNTIME_DIR", dir, 1) < 0 || setenv("XDG_STATE_HOME", dir, 1) < 0))
                r = err_set(e, -errno, "setenv: %s", strerror(errno));
        return r;
}

/* What the bench itself does by bare calls, it does as anybody does. */
static void watch_at_ease(void)
{
        struct sched_param p = {0};

        sched_setscheduler(0, SCHED_OTHER, &p);
}

/* Who reads the clock must not wait for a CPU that what is measured keeps busy: on two of them a vCPU and a pager do. Nobody
 * inherits it. */
static void watch_at_once(struct bench *b)
{
        struct sched_param p = {.sched_priority = 1};
        bool at_once = sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &p) == 0;

        bench_fact_add(&b->result, "stamps", at_once ? "by a process of real-time priority (SCHED_FIFO)"
                                                     : "by a process of ordinary priority, which may have waited for a CPU (CAP_SYS_NICE mends it)");
}

int bench_open(struct bench *b, struct err *e)
{
        int r = find_rouse(b, e);

        if (r >= 0)
                r = guest_stop_open(&b->stop, e);
        if (r >= 0)
                r = scratch_make(&b->scratch, e);
        if (r >= 0)
                r = keep_apart(b, e);
        for (size_t i = 0; i < b->o.nr_dirs && r >= 0; i++) {
                r = subject_open(b, b->o.dirs[i], &b->subjects[i], e);
                if (r >= 0)
                        b->nr_subjects++;
        }
        return r;
}

static int each_subject(struct bench *b, int (*what)(struct bench *b, struct subject *s, struct err *e), struct err *e)
{
        int r = 0;

        for (size_t i = 0; i < b->nr_subjects && r >= 0; i++)
                r = what(b, &b->subjects[i], e);
        return r;
}

/* What can be had beside the arms: where it fails the arms' figures stay good, and that it is missing is told. */
static int beside(struct bench *b, bool without, const char *what, int (*measure)(struct bench *b, struct err *e), struct err *e)
{
        struct err why = {0};
        int r = without ? 0 : measure(b, &why);

        if (r >= 0)
                return 0;
        if (r == -ECANCELED) {
                *e = why;
                return r;
        }
        fprintf(stderr, "rouse bench restore: no %s: %s\n", what, why.text);
        b->failed = true;
        return 0;
}

static int score_all(struct bench *b, struct err *e)
{
        return each_subject(b, bench_score_hints, e);
}

/* Timelines before floors and control: the caches are as the rounds left them. */
static int measure(struct bench *b, struct err *e)
{
        int r = each_subject(b, bench_record_hints, e);

        if (r >= 0)
                r = bench_warm_up(b, e);
        if (r >= 0)
                r = bench_rounds(b, e);
        if (r >= 0)
                r = beside(b, b->o.without_hints_score, "score of the hints", score_all, e);
        if (r >= 0)
                r = beside(b, b->o.without_timeline, "timelines", bench_timelines, e);
        if (r >= 0)
                r = beside(b, b->o.without_control || b->o.nr_arms == 0, "control", bench_control, e);
        watch_at_ease();
        if (r >= 0)
                r = beside(b, b->o.without_floors, "floors", bench_floors, e);
        return r;
}

static bool has_values(const struct bench_result *r)
{
        for (size_t i = 0; i < r->nr_groups; i++)
                for (size_t a = 0; a < r->groups[i].nr_arms; a++)
                        if (bench_metric_find(&r->groups[i].arms[a], "t3"))
                                return true;
        return false;
}

/* Is there an arm without a single run? */
static bool lacks_an_arm(const struct bench_result *r)
{
        for (size_t i = 0; i < r->nr_groups; i++)
                for (size_t a = 0; a < r->groups[i].nr_arms; a++)
                        if (!bench_metric_find(&r->groups[i].arms[a], "t3"))
                                return true;
        return false;
}

static int tell(const struct err *e)
{
        if (e->kind == ERR_USAGE)
                return bench_usage(WORD, "%s", e->text);
        bench_failed(WORD, "%s", e->text);
        return e->kind == ERR_SNAPSHOT ? BENCH_EXIT_BAD_SNAPSHOT : BENCH_EXIT_FAILED;
}

static int report(struct bench *b, int r, const struct err *e)
{
        int status = 0;

        if (r < 0)
                status = r == -ECANCELED ? 128 + b->stop.signal : tell(e);
        if (r == -ECANCELED)
                fprintf(stderr, "rouse bench restore: %s%s\n", e->text,
                        has_values(&b->result) ? "; what was measured until then:" : " before anything was measured");
        if (!has_values(&b->result))
                return status ? status : BENCH_EXIT_FAILED;
        bench_words(b);
        for (size_t i = 0; i < b->result.nr_groups && r < 0; i++)
                bench_word_add(&b->result.groups[i], "The bench came to an end before its time (%s): %u rounds were asked for.",
                               e->text, b->o.runs);
        bench_describe_end(&b->result);
        r = bench_report(WORD, &b->result, &b->o.outputs);
        if (status || r)
                return status ? status : r;
        return b->failed || lacks_an_arm(&b->result) ? BENCH_EXIT_FAILED : BENCH_EXIT_OK;
}

void bench_close(struct bench *b)
{
        for (size_t i = 0; i < b->nr_subjects; i++)
                subject_close(&b->subjects[i]);
        scratch_remove(&b->scratch);
        guest_stop_close(&b->stop);
        bench_result_free(&b->result);
}

static int run(int argc, char **argv)
{
        struct bench *b = calloc(1, sizeof(*b));
        struct err e = {0};
        int r, status;

        if (!b)
                return bench_failed(WORD, "no memory");
        b->stop.fd = -1;
        status = restore_options_parse(argc, argv, &b->o);
        if (!status)
                status = bench_outputs_check(WORD, &b->o.outputs);
        if (status) {
                free(b);
                return status;
        }
        b->random = b->result.seed = b->o.seed;
        b->result.rounds = b->o.runs;
        bench_describe(&b->result, BENCH_RESTORE, argc, argv);
        r = bench_open(b, &e);
        if (r >= 0) {
                bench_describe_machine(b);
                watch_at_once(b);
                r = measure(b, &e);
        }
        status = report(b, r, &e);
        bench_close(b);
        free(b);
        return status;
}

const struct bench_verb bench_verb_restore = {
        .name = "restore",
        .summary = "wake snapshots in every way, and by other VMMs, and say what each way costs",
        .help = restore_bench_help,
        .run = run,
};
