/* bench/restore: wakes snapshots by the command line, arm beside arm, interleaved, and says what moved.
 *
 * T0 is taken here, just before rouse is spawned, so program start counts. Everything is warm: one round is thrown away first. With --cold
 * every arm runs warm and cold in each round: the files of the snapshot are evicted and proved to be; else the run is thrown away and counted.
 * With --settle the guest goes on after its first line, for as long, so that T6 can be reached: then "/eager T6" is the total to T6.
 * Hints are recorded on runs of their own. Absolute times of a shared machine mean little: read the ratios. */
#include "bench/page_cache.h"
#include "bench/sample.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/control/json_text.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SNAPSHOTS_MAX 8
#define UNTIL         "^TICK"

enum arm { ARM_EAGER, ARM_MMAP, ARM_LAZY, ARM_HINTS, ARM_AUTO, ARMS };

struct arm_words {
        const char *name, *mode;
        bool        hints;
};

static const struct arm_words arms[ARMS] = {
        [ARM_EAGER] = {"eager", "eager", false}, [ARM_MMAP] = {"mmap", "mmap", false}, [ARM_LAZY] = {"lazy", "lazy", false}, [ARM_HINTS] = {"hints", "lazy", true},
        [ARM_AUTO] = {"auto", "auto", true},
};

enum cache { WARM, COLD, CACHES };

enum column { COL_T1, COL_T2, COL_T2_BARE, COL_T3, COL_T4, COL_T6, COL_DEMAND, COL_INSTALLED, COL_RSS, COLS };

struct column_head {
        const char *title;
        const char *path; /* in the ledger */
        double      divide;
};

static const struct column_head heads[COLS] = {
        {"T1 ms", "t_us.t1", 1000},       {"T2 ms", "t_us.t2", 1000},           {"T2-slots", "slots_us", 1000},
        {"T3 ms", "t_us.t3", 1000},       {"T4 ms", "t_us.t4", 1000},           {"T6 ms", "t_us.t6", 1000},
        {"demand", "faults.demand", 1},
        {"MiB in", "bytes.installed", 1 << 20}, {"RSS MiB", "rss_peak_bytes", 1 << 20},
};

struct snapshot_runs {
        const char   *dir;
        char          hints[4200];
        struct sample samples[CACHES][ARMS][COLS];
        unsigned      not_cold; /* runs that were thrown away */
};

struct bench {
        const char          *rouse;
        char                 scratch[4096];
        unsigned             runs;
        uint64_t             seed;
        bool                 cold;
        const char          *settle; /* a time like 2s: how long the guest goes on; NULL: to its first line */
        size_t               nr;
        struct snapshot_runs snapshots[SNAPSHOTS_MAX];
};

static void die(const char *what, const char *why)
{
        fprintf(stderr, "bench/restore: %s: %s\n", what, why);
        exit(1);
}

static uint64_t next_random(uint64_t *x) /* splitmix64 */
{
        uint64_t z = (*x += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

/* Runs rouse restore with the words, T0 now; exits when it fails. */
static void run_rouse(const struct bench *b, const char *dir, const char *const *words)
{
        const char *argv[24] = {b->rouse, "restore", dir, "--serial", "null", b->settle ? "--mark" : "--until", UNTIL,
                                "--timeout", b->settle ? b->settle : "60s", "--t0-ns"};
        char t0[32];
        size_t n = 10;
        int status, expected = b->settle ? 124 : 0; /* --timeout passed */
        pid_t pid = -1;

        snprintf(t0, sizeof(t0), "%llu", (unsigned long long)now_ns());
        argv[n++] = t0;
        while (*words)
                argv[n++] = *words++;
        if (posix_spawn(&pid, b->rouse, NULL, NULL, (char *const *)(uintptr_t)argv, environ) != 0 || waitpid(pid, &status, 0) != pid ||
            !WIFEXITED(status) || WEXITSTATUS(status) != expected)
                die(dir, "rouse restore failed");
}

/* False where the ledger has no such key: not reached, or not this arm's. */
static bool find(struct json_object *doc, const char *path, double *ret)
{
        struct json_object *v = json_at(doc, path);

        if (v)
                *ret = json_object_get_double(v);
        return v != NULL;
}

static void take_ledger(struct snapshot_runs *s, struct sample samples[COLS], const char *path)
{
        struct json_object *doc = json_object_from_file(path);

        if (!doc)
                die(path, "no ledger");
        for (int c = 0; c < COLS; c++) {
                double v, t2;

                if (!find(doc, heads[c].path, &v)) {
                        if (c <= COL_T4)
                                die(s->dir, "a run did not reach T4");
                        continue;
                }
                v /= heads[c].divide;
                if (c == COL_T2_BARE && find(doc, "t_us.t2", &t2))
                        v = t2 / 1000 - v;
                sample_add(&samples[c], v);
        }
        json_object_put(doc);
}

static void run_arm(const struct bench *b, struct snapshot_runs *s, enum arm arm, enum cache cache, bool keep)
{
        char ledger[4200];

        if (cache == WARM)
                page_cache_fill_dir(s->dir);
        if (cache == COLD && page_cache_evict_dir(s->dir) > 0) {
                s->not_cold++;
                return;
        }
        snprintf(ledger, sizeof(ledger), "%s/ledger.json", b->scratch);
        run_rouse(b, s->dir, (const char *const[]){"--mode", arms[arm].mode, "--hints", arms[arm].hints ? s->hints : "none", "--ledger", ledger, NULL});
        if (keep)
                take_ledger(s, s->samples[cache][arm], ledger);
}

static void record(const struct bench *b, struct snapshot_runs *s, size_t i)
{
        snprintf(s->hints, sizeof(s->hints), "%s/hints-%zu", b->scratch, i);
        run_rouse(b, s->dir, (const char *const[]){"--record", s->hints, NULL});
}

/* One round: every arm of every snapshot once (with --cold: once each way), in an order of its own (Fisher and Yates). */
static void run_round(struct bench *b, bool keep)
{
        size_t ways = b->cold ? CACHES : 1, order[SNAPSHOTS_MAX * ARMS * CACHES], n = b->nr * ARMS * ways;

        for (size_t i = 0; i < n; i++)
                order[i] = i;
        for (size_t i = n; i > 1; i--) {
                size_t k = next_random(&b->seed) % i, was = order[i - 1];

                order[i - 1] = order[k];
                order[k] = was;
        }
        for (size_t i = 0; i < n; i++)
                run_arm(b, &b->snapshots[order[i] / ways / ARMS], (enum arm)(order[i] / ways % ARMS), (enum cache)(order[i] % ways), keep);
}

static double median(struct snapshot_runs *s, enum cache cache, enum arm arm, enum column c)
{
        return sample_quantile(&s->samples[cache][arm][c], 0.5);
}

static void print_cell(struct sample *v, int decimals, double q, bool enough)
{
        if (v->nr && enough)
                printf("%9.*f", decimals, sample_quantile(v, q));
        else
                printf("%9s", "-");
}

static void print_arm(const struct bench *b, struct snapshot_runs *s, enum cache cache, enum arm arm)
{
        struct sample *v = s->samples[cache][arm];
        double         t3 = median(s, cache, arm, COL_T3);

        printf("%-6s", arms[arm].name);
        for (int c = 0; c < COLS; c++)
                print_cell(&v[c], c == COL_DEMAND ? 0 : 2, 0.5, true);
        print_cell(&v[COL_T3], 2, 0.95, b->runs >= 20);
        printf("%9.3f%9.3f", t3 / median(s, cache, ARM_EAGER, COL_T3), t3 / median(s, cache, ARM_MMAP, COL_T3));
        if (cache == COLD)
                printf("%9.3f", t3 / median(s, WARM, arm, COL_T3));
        if (b->settle && v[COL_T6].nr)
                printf("%9.3f", median(s, cache, arm, COL_T6) / median(s, cache, ARM_EAGER, COL_T6));
        printf("\n");
}

static void print_snapshot(const struct bench *b, struct snapshot_runs *s)
{
        for (int cache = WARM; cache <= (b->cold ? COLD : WARM); cache++) {
                printf("\n%s: %u runs, %s, medians%s", s->dir, b->runs, cache == COLD ? "cold" : "warm", b->runs >= 20 ? "; p95 of T3" : "");
                if (cache == COLD)
                        printf("; %u thrown away because they were not cold", s->not_cold);
                printf("\n%-6s", "");
                for (int c = 0; c < COLS; c++)
                        printf("%9s", heads[c].title);
                printf("%9s%9s%9s%s%s\n", "T3 p95", "/eager", "/mmap", cache == COLD ? "    /warm" : "", b->settle ? " T6/eager" : "");
                for (int a = 0; a < ARMS; a++)
                        print_arm(b, s, (enum cache)cache, (enum arm)a);
                printf("T3 with hints: %.2f ms, %.1f times sooner than eager, %.3f times mmap's\n", median(s, cache, ARM_HINTS, COL_T3),
                       median(s, cache, ARM_EAGER, COL_T3) / median(s, cache, ARM_HINTS, COL_T3),
                       median(s, cache, ARM_HINTS, COL_T3) / median(s, cache, ARM_MMAP, COL_T3));
        }
}

static void free_samples(struct snapshot_runs *s)
{
        for (int cache = 0; cache < CACHES; cache++)
                for (int a = 0; a < ARMS; a++)
                        for (int c = 0; c < COLS; c++)
                                sample_free(&s->samples[cache][a][c]);
}

static int usage(void)
{
        fprintf(stderr, "usage: bench/restore [--cold] [--settle TIME] [--runs N] [--seed N] [--rouse PATH] DIR...\n");
        return 2;
}

static int parse(struct bench *b, int argc, char **argv)
{
        static const struct option options[] = {
                {"runs", required_argument, NULL, 'r'}, {"seed", required_argument, NULL, 's'}, {"rouse", required_argument, NULL, 'R'},
                {"cold", no_argument, NULL, 'c'}, {"settle", required_argument, NULL, 't'}, {0}};
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
                if (c == 'r')
                        b->runs = (unsigned)strtoul(optarg, NULL, 10);
                else if (c == 's')
                        b->seed = strtoull(optarg, NULL, 10);
                else if (c == 'R')
                        b->rouse = optarg;
                else if (c == 'c')
                        b->cold = true;
                else if (c == 't')
                        b->settle = optarg;
                else
                        return usage();
        }
        if (optind == argc || argc - optind > SNAPSHOTS_MAX || b->runs == 0)
                return usage();
        while (optind < argc)
                b->snapshots[b->nr++].dir = argv[optind++];
        return 0;
}

int main(int argc, char **argv)
{
        static struct bench b = {.rouse = "build/rouse", .runs = 20, .seed = 1};
        char command[4200];
        int r = parse(&b, argc, argv);

        if (r)
                return r;
        snprintf(b.scratch, sizeof(b.scratch), "%s/rouse-bench-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        if (!mkdtemp(b.scratch))
                die(b.scratch, strerror(errno));
        for (size_t i = 0; i < b.nr; i++)
                record(&b, &b.snapshots[i], i);
        run_round(&b, false);
        for (unsigned i = 0; i < b.runs; i++)
                run_round(&b, true);
        for (size_t i = 0; i < b.nr; i++)
                print_snapshot(&b, &b.snapshots[i]);
        snprintf(command, sizeof(command), "rm -rf '%s'", b.scratch);
        r = system(command);
        for (size_t i = 0; i < b.nr; i++)
                free_samples(&b.snapshots[i]);
        return r;
}
