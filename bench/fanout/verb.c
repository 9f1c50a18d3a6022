/* rouse bench fanout: options, the parts in order, the report. */
#include "bench/fanout/fanout.h"

#include "bench/describe.h"
#include "bench/verb.h"
#include "core/base/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD         "fanout"
#define DEFAULT_ARMS "mmap,lazy,hints,shared,auto"

static const char help[] =
        "usage: rouse bench fanout DIR [OPTIONS]\n\n"
        "Wakes many clones of one snapshot, all at once and at a steady rate, in every way, in turns: how\n"
        "many answer, how soon, how soon the last one, and what they hold together on three bases (a cgroup\n"
        "of their own, PSS, the drop of MemAvailable), as so much for all and so much for each. The burst is\n"
        "the unit of all statistics, not the clone in it.\n\n"
        "  --clones LIST         how many (default 1,4,16,64); what would not fit this machine is left out,\n"
        "                        and told\n"
        "  --arms LIST           of " ROUSE_ARMS "\n"
        "                        (default " DEFAULT_ARMS ")\n"
        "  --rate R              starts a second of the steady phase, in which as many as --clones says are\n"
        "                        alive at most, the oldest making room (default 20; 0: no steady phase).\n"
        "                        Times count from when a clone was due, also where it had to wait\n"
        "  --mark REGEX          the line that is the answer; without it the first byte\n"
        "  --settle TIME         from the last answer of a burst to the look at its memory (default 1s)\n"
        "  --timeout TIME        a clone that has not answered so long after it was due has failed, and is\n"
        "                        counted (default 60s)\n"
        "  --rouse PATH          the rouse to measure (default: the one that this program belongs to)\n"
        COMMON_HELP("sockets and hints are")
        "\nOf a burst in which a clone failed only the count is kept. A burst is not started where less than\n"
        "256 MiB of memory are left.\n"
        "Exit status: 0 done; 1 an arm had no burst in which all answered; 2 wrong usage; 4 the snapshot is\n"
        "bad; 128+n stopped by signal n.\n"
        "\nexample: rouse bench fanout /srv/snapshots/web --clones 1,4,16 --mark ready --runs 10 --html fanout.html\n";

/* --- options --- */

static const char *take_arms(const char *text, struct restore_bench_options *o)
{
        char *save = NULL;

        o->nr_arms = 0;
        if (strlen(text) >= sizeof(o->arms_text))
                return "some of " ROUSE_ARMS;
        snprintf(o->arms_text, sizeof(o->arms_text), "%s", text);
        for (char *name = strtok_r(o->arms_text, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
                struct arm_list l = {.nr = 0};
                bool known = rouse_arm_add(&l, name) && strcmp(name, ROUSE_ARM_NO_FILL) != 0;

                arm_list_free(&l);
                if (!known || o->nr_arms == RESTORE_NAMES_MAX)
                        return "some of " ROUSE_ARMS;
                for (size_t i = 0; i < o->nr_arms; i++)
                        if (strcmp(o->arms[i], name) == 0)
                                return "each arm once";
                o->arms[o->nr_arms++] = name;
        }
        return o->nr_arms ? NULL : "some of " ROUSE_ARMS;
}

static const char *take_rate(const char *text, double *ret)
{
        char *end;

        *ret = strtod(text, &end);
        return text[0] >= '0' && text[0] <= '9' && *end == 0 && (*ret == 0 || (*ret >= 0.01 && *ret <= 10000)) ? NULL : "0, or a rate from 0.01 to 10000 a second";
}

static const char *take_clones(const char *text, struct fanout *f)
{
        if (!option_numbers(text, 1, BURST_CLONES_MAX / 2, f->sizes, FANOUT_SIZES_MAX, &f->nr_sizes))
                return "numbers from 1 to 512, as in 1,4,16";
        for (size_t i = 0; i < f->nr_sizes; i++)
                for (size_t k = 0; k < i; k++)
                        if (f->sizes[i] == f->sizes[k])
                                return "each number once";
        return NULL;
}

static const char *take(int c, const char *value, void *arg)
{
        struct fanout *f = arg;
        struct restore_bench_options *o = &f->bench.o;

        switch (c) {
        case 'c':
                return take_clones(value, f);
        case 'a':
                o->arms_named = true;
                return take_arms(value, o);
        case 'r':
                return take_rate(value, &f->rate);
        case 'k':
                o->mark = value;
                return NULL;
        case 'S':
                return option_time(value, &f->settle_ns) ? NULL : "a time like 500ms or 5s";
        case 't':
                return option_time(value, &o->timeout_ns) ? NULL : "a time like 500ms or 60s";
        case 'R':
                o->rouse = value;
                return NULL;
        }
        return "";
}

static int parse(int argc, char **argv, struct fanout *f)
{
        static const struct option options[] = {
                {"clones", required_argument, NULL, 'c'}, {"arms", required_argument, NULL, 'a'}, {"rate", required_argument, NULL, 'r'},
                {"mark", required_argument, NULL, 'k'}, {"settle", required_argument, NULL, 'S'}, {"timeout", required_argument, NULL, 't'},
                {"rouse", required_argument, NULL, 'R'}, COMMON_OPTIONS,
        };
        struct restore_bench_options *o = &f->bench.o;
        int r;

        *o = (struct restore_bench_options){.timeout_ns = 60 * NS_PER_S, .without_hints_score = true};
        f->rate = 20;
        f->settle_ns = NS_PER_S;
        take_arms(DEFAULT_ARMS, o);
        take_clones("1,4,16,64", f);
        r = options_parse(WORD, argc, argv, options, &f->common, take, f);
        if (r)
                return r;
        if (optind != argc - 1)
                return bench_usage(WORD, optind == argc ? "DIR is missing" : "expected one DIR, found '%s' too",
                                   argv[optind + 1]);
        o->dirs[o->nr_dirs++] = argv[optind];
        o->runs = f->common.runs;
        o->seed = f->common.seed;
        o->outputs = f->common.outputs;
        return setenv("TMPDIR", f->common.tmp, 1) == 0 ? 0 : bench_failed(WORD, "setenv: %s", strerror(errno));
}

/* --- the parts --- */

static int measure(struct fanout *f, struct err *e)
{
        int r = bench_record_hints(&f->bench, fanout_subject(f), e);

        r = r < 0 ? r : fanout_warm_up(f, e);
        r = r < 0 ? r : fanout_limits(f, e);
        return r < 0 ? r : fanout_rounds(f, e);
}

/* With one whole burst, or (all) with one in each group. */
static bool has_bursts(const struct fanout *f, bool all)
{
        const struct bench_result *r = &f->bench.result;
        bool any = false;

        for (size_t i = 0; i < r->nr_groups; i++)
                for (size_t a = 0; a < r->groups[i].nr_arms; a++) {
                        bool has = bench_metric_find(&r->groups[i].arms[a], r->groups[i].first_metric) != NULL;

                        any |= has;
                        if (all && !has)
                                return false;
                }
        return any;
}

static int tell(const struct err *e)
{
        if (e->kind == ERR_USAGE)
                return bench_usage(WORD, "%s", e->text);
        bench_failed(WORD, "%s", e->text);
        return e->kind == ERR_SNAPSHOT ? BENCH_EXIT_BAD_SNAPSHOT : BENCH_EXIT_FAILED;
}

static int report(struct fanout *f, int r, const struct err *e)
{
        struct bench *b = &f->bench;
        bool all = has_bursts(f, true);
        int status = r == 0 || r == -ECANCELED ? 0 : tell(e);

        if (r == -ECANCELED) {
                status = 128 + b->stop.signal;
                bench_failed(WORD, "%s%s", e->text,
                             has_bursts(f, false) ? "; what was measured until then:" : " before anything was measured");
        }
        if ((r < 0 && r != -ECANCELED) || !b->result.nr_groups)
                return status ? status : BENCH_EXIT_FAILED;
        fanout_words(f);
        if (r == -ECANCELED)
                for (size_t i = 0; i < b->result.nr_groups; i++)
                        bench_word_add(&b->result.groups[i], "The bench was stopped before its end: %u rounds were asked for.",
                                       f->common.runs);
        bench_describe_end(&b->result);
        r = bench_report(WORD, &b->result, &b->o.outputs);
        if (status || r)
                return status ? status : r;
        return b->failed || !all ? BENCH_EXIT_FAILED : BENCH_EXIT_OK;
}

static int run(int argc, char **argv)
{
        struct fanout *f = calloc(1, sizeof(*f));
        struct err e = {0};
        int r, status;

        if (!f)
                return bench_failed(WORD, "no memory");
        f->bench.stop.fd = -1;
        status = parse(argc, argv, f);
        if (!status)
                status = bench_outputs_check(WORD, &f->common.outputs);
        if (status) {
                free(f);
                return status;
        }
        f->bench.random = f->bench.result.seed = f->common.seed;
        f->bench.result.rounds = f->common.runs;
        bench_describe(&f->bench.result, BENCH_FANOUT, argc, argv);
        bench_fact_add(&f->bench.result, "stamps", burst_at_once(true) ? "by a thread of real-time priority (SCHED_FIFO)"
                                                                       : "by a thread of ordinary priority, which may have waited for a CPU (CAP_SYS_NICE mends it)");
        burst_at_once(false);
        burst_cgroup_make(&f->cgroup);
        r = bench_open(&f->bench, &e);
        if (r >= 0 && f->cgroup.version)
                guard_add(&f->bench.scratch.guard, f->cgroup.path);
        if (r >= 0)
                r = measure(f, &e);
        status = report(f, r, &e);
        burst_cgroup_remove(&f->cgroup);
        bench_close(&f->bench);
        free(f);
        return status;
}

const struct bench_verb bench_verb_fanout = {
        .name = WORD,
        .summary = "wake many clones of a snapshot: how many answer, how soon, and what they hold",
        .help = help,
        .run = run,
};
