/* bench/hints: what merged hints are worth for a guest whose touches vary from run to run (tests/guest/vary.c: nine tenths of its
 * pages are the same in every run, one tenth is drawn anew).
 *
 * Hints are merged from the first recordings and judged by the others, twice: by what those touched (rouse hints score), and by
 * what restores with hints and without them count as demand faults, in turns. Runs that hints were made of judge nothing. Goals
 * of the issue are printed beside what was found; exit 1 where one is missed. */
#include "bench/sample.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/control/json_text.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS_MAX    64
#define WORDS_MAX   (RUNS_MAX + 16)
#define PATIENCE_NS (60 * NS_PER_S)

/* The issue's own. */
#define GOAL_FORESEEN 0.976
#define GOAL_WASTE    0.10

enum arm { ARM_NONE, ARM_HINTS, ARMS };
enum counter { COUNT_DEMAND, COUNT_REPLAY, COUNT_T3, COUNT_T4, COUNTERS };
static const char *const arm_names[ARMS] = {"no hints", "hints"};
static const char *const counter_paths[COUNTERS] = {"faults.demand", "faults.replay", "t_us.t3", "t_us.t4"};

struct bench {
        const char   *rouse, *guest;
        unsigned      learn, judge; /* recordings */
        char          dir[4096], snapshot[4200], hints[4200];
        char          recordings[RUNS_MAX][4200];
        struct sample samples[ARMS][COUNTERS];
};

static void die(const char *what, const char *why)
{
        fprintf(stderr, "bench/hints: %s: %s\n", what, why);
        exit(1);
}

static pid_t start(const char *const *argv, const char *out)
{
        posix_spawn_file_actions_t a;
        pid_t pid = -1;

        posix_spawn_file_actions_init(&a);
        posix_spawn_file_actions_addopen(&a, STDOUT_FILENO, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        posix_spawn_file_actions_addopen(&a, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        if (posix_spawn(&pid, argv[0], &a, NULL, (char *const *)(uintptr_t)argv, environ) != 0)
                die(argv[0], "cannot be started");
        posix_spawn_file_actions_destroy(&a);
        return pid;
}

static void finish(pid_t pid, const char *what)
{
        int status;

        if (waitpid(pid, &status, 0) != pid || status != 0)
                die(what, "failed");
}

/* rouse with these words (NULL-ended); its standard output goes to a file. */
static void run_rouse(const struct bench *b, const char *out, const char *const *words)
{
        const char *argv[WORDS_MAX] = {b->rouse};
        size_t n = 1;

        while (*words)
                argv[n++] = *words++;
        finish(start(argv, out), argv[1]);
}
#define RUN(b, out, ...) run_rouse(b, out, (const char *const[]){__VA_ARGS__, NULL})

static bool file_has(const char *path, const char *text)
{
        char buf[4096];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

        if (fd >= 0)
                close(fd);
        buf[n < 0 ? 0 : n] = 0;
        return strstr(buf, text) != NULL;
}

static void make_snapshot(struct bench *b)
{
        const char *argv[] = {b->rouse, "run", "--kernel", b->guest, "--memory", "128M", "--name", "bench-hints", NULL};
        uint64_t until = now_ns() + PATIENCE_NS;
        char serial[4200];
        pid_t vm;

        snprintf(serial, sizeof(serial), "%s/serial", b->dir);
        snprintf(b->snapshot, sizeof(b->snapshot), "%s/snapshot", b->dir);
        vm = start(argv, serial);
        while (!file_has(serial, "TICK 2 ")) {
                if (now_ns() > until)
                        die(b->guest, "it does not boot");
                usleep(10000);
        }
        RUN(b, "/dev/null", "snapshot", "bench-hints", b->snapshot, "--then", "quit");
        finish(vm, "run");
}

static void record_and_merge(struct bench *b)
{
        const char *words[WORDS_MAX] = {"hints", "merge", "-o", b->hints};

        snprintf(b->hints, sizeof(b->hints), "%s/hints", b->dir);
        for (unsigned i = 0; i < b->learn + b->judge; i++) {
                snprintf(b->recordings[i], sizeof(b->recordings[i]), "%s/recording-%u", b->dir, i + 1);
                RUN(b, "/dev/null", "restore", b->snapshot, "--record", b->recordings[i], "--until", "^TICK", "--timeout", "60s");
                if (i < b->learn)
                        words[4 + i] = b->recordings[i];
        }
        run_rouse(b, "/dev/null", words);
}

static double number_at(struct json_object *doc, const char *path)
{
        struct json_object *v = json_at(doc, path);

        if (!v)
                die(path, "is not there");
        return json_object_get_double(v);
}

/* Restores in turns: without hints, with them. */
static void restore_in_turns(struct bench *b)
{
        char ledger[4200];

        snprintf(ledger, sizeof(ledger), "%s/ledger.json", b->dir);
        for (unsigned i = 0; i < b->judge * ARMS; i++) {
                enum arm arm = (enum arm)(i % ARMS);
                struct json_object *doc;

                RUN(b, "/dev/null", "restore", b->snapshot, "--mode", "lazy", "--fill", "off", "--until", "^TICK", "--timeout",
                    "60s", "--hints",
                    arm == ARM_HINTS ? b->hints : "none", "--ledger", ledger);
                doc = json_object_from_file(ledger);
                if (!doc)
                        die(ledger, "no ledger");
                for (int c = 0; c < COUNTERS; c++)
                        sample_add(&b->samples[arm][c], number_at(doc, counter_paths[c]));
                json_object_put(doc);
        }
}

static bool print_goal(const char *what, double found, const char *than, double goal, bool reached)
{
        printf("  %-58s%7.2f %%   goal: %s %.1f %%   %s\n", what, 100 * found, than, 100 * goal, reached ? "reached" : "MISSED");
        return reached;
}

/* Faults that nobody can foresee are there with hints and without: what is left of the others is what hints did not remove. */
static bool print(struct bench *b, struct json_object *score)
{
        double touched = number_at(score, "sum.touched") / b->judge, foreseeable = number_at(score, "sum.foreseeable") / b->judge;
        double chance = touched - foreseeable, none, with;
        bool ok;

        printf("hints merged from %u recordings, judged by %u others: %.0f data pages touched a run, of these %.0f could be "
               "foreseen\n", b->learn,
               b->judge, touched, foreseeable);
        ok = print_goal("recordings: foreseeable pages that the hints have", number_at(score, "sum.recall_foreseeable"), ">=",
                        GOAL_FORESEEN, number_at(score, "sum.recall_foreseeable") >= GOAL_FORESEEN);
        ok &= print_goal("recordings: of the hinted pages, never touched", 1 - number_at(score, "sum.precision"), "<", GOAL_WASTE,
                         1 - number_at(score, "sum.precision") < GOAL_WASTE);
        printf("\nrestores, medians of %u each, --fill off:  demand faults   replayed    T3 ms    T4 ms\n", b->judge);
        for (int a = 0; a < ARMS; a++)
                printf("  %-41s%13.0f%11.0f%9.1f%9.1f\n", arm_names[a], sample_quantile(&b->samples[a][COUNT_DEMAND], 0.5),
                       sample_quantile(&b->samples[a][COUNT_REPLAY], 0.5), sample_quantile(&b->samples[a][COUNT_T3], 0.5) / 1000,
                       sample_quantile(&b->samples[a][COUNT_T4], 0.5) / 1000);
        none = sample_quantile(&b->samples[ARM_NONE][COUNT_DEMAND], 0.5) - chance;
        with = MAX(sample_quantile(&b->samples[ARM_HINTS][COUNT_DEMAND], 0.5) - chance, 0.0);
        ok &= print_goal("restores: demand faults that could be foreseen, removed", 1 - with / none, ">=", GOAL_FORESEEN,
                         1 - with / none >= GOAL_FORESEEN);
        printf("  (T3 and T4 hold the 200 ms that this guest sleeps before it touches anything)\n");
        return ok;
}

static bool judge(struct bench *b)
{
        const char *words[WORDS_MAX] = {"hints", "score", "--json", b->hints};
        char out[4200];
        struct json_object *doc;
        bool ok;

        snprintf(out, sizeof(out), "%s/score.json", b->dir);
        for (unsigned i = 0; i < b->judge; i++)
                words[4 + i] = b->recordings[b->learn + i];
        run_rouse(b, out, words);
        doc = json_object_from_file(out);
        if (!doc)
                die(out, "no judgement");
        ok = print(b, doc);
        json_object_put(doc);
        return ok;
}

static int usage(void)
{
        fprintf(stderr, "usage: bench/hints [--learn N] [--judge N] [--rouse PATH] [--guest PATH]     N: 1 to %d in all\n",
                RUNS_MAX);
        return 2;
}

static int parse(struct bench *b, int argc, char **argv)
{
        static const struct option options[] = {{"learn", required_argument, NULL, 'l'}, {"judge", required_argument, NULL, 'j'},
                                                {"rouse", required_argument, NULL, 'R'}, {"guest", required_argument, NULL, 'g'},
                                                {0}};
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
                if (c == 'l')
                        b->learn = (unsigned)strtoul(optarg, NULL, 10);
                else if (c == 'j')
                        b->judge = (unsigned)strtoul(optarg, NULL, 10);
                else if (c == 'R')
                        b->rouse = optarg;
                else if (c == 'g')
                        b->guest = optarg;
                else
                        return usage();
        }
        return optind != argc || !b->learn || !b->judge || b->learn > RUNS_MAX || b->judge > RUNS_MAX ||
               b->learn + b->judge > RUNS_MAX ? usage() : 0;
}

int main(int argc, char **argv)
{
        static struct bench b = {.rouse = "build/rouse", .guest = "build/guest/vary.bin", .learn = 5, .judge = 10};
        char command[4200];
        bool ok;
        int r = parse(&b, argc, argv);

        if (r)
                return r;
        snprintf(b.dir, sizeof(b.dir), "%s/rouse-bench-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        if (!mkdtemp(b.dir))
                die(b.dir, strerror(errno));
        setenv("XDG_DATA_HOME", b.dir, 1);
        setenv("XDG_RUNTIME_DIR", b.dir, 1);
        make_snapshot(&b);
        record_and_merge(&b);
        restore_in_turns(&b);
        ok = judge(&b);
        snprintf(command, sizeof(command), "rm -rf '%s'", b.dir);
        r = system(command);
        for (int a = 0; a < ARMS; a++)
                for (int c = 0; c < COUNTERS; c++)
                        sample_free(&b.samples[a][c]);
        return ok ? r : 1;
}
