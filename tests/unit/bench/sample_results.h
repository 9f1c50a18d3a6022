/* tests/unit/bench/sample_results.h: drawn results of every kind, small, always the same. tests/data/bench/KIND.json holds what
 * they give.
 * Owns:    nothing; what is in *ret is its caller's (bench_result_free).
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "tests/unit/bench/draws.h"

struct sample_arm {
        const char *name, *what;
        bool        peer, control;
        double      t3_us, demand; /* demand below 0: rouse does not answer its faults */
};

static inline void sample_facts(struct bench_result *r, enum bench_kind kind, const char *command)
{
        *r = (struct bench_result){.kind = kind, .started_unix_s = 1795800000, .took_s = 41.5, .seed = 7, .rounds = 20};
        bench_string_set(&r->command, command);
        bench_string_set(&r->rouse_version, "0.1.0");
        bench_string_set(&r->commit, "0123456789ab");
        bench_fact_add(r, "cpu", "Example CPU <8 cores> & friends");
        bench_fact_add(r, "kernel", "Linux 6.1.0-25-amd64 x86_64");
        bench_fact_add(r, "virtualization", "nested: the L0 hypervisor answers every exit");
}

static inline void sample_values(struct bench_arm *a, const char *id, const char *unit, enum bench_better better, struct draws *d, uint32_t rounds, double median,
                                 double spread)
{
        struct bench_metric *m = bench_metric_get(a, id, unit, better);

        for (uint32_t i = 0; i < rounds; i++)
                bench_value_add(m, i, floor(median * exp(spread * draw_normal(d)) * 1000 + 0.5) / 1000);
}

static inline void sample_timeline(struct bench_arm *a, struct draws *d, double t3_us, uint64_t memory_bytes)
{
        a->timeline_t3_us = (uint64_t)(t3_us * 1.1); /* a watched run is a little later */
        for (unsigned i = 0; i < 120; i++) {
                bool               fill = i > 60;
                struct bench_fault f = {
                        .t_us = (uint64_t)(t3_us * 0.4 + (fill ? t3_us * 0.6 : 0) + 90.0 * i),
                        .gpa = (fill ? (uint64_t)(i - 60) * memory_bytes / 60 : (uint64_t)(draw_uniform(d) * (double)memory_bytes)) & ~UINT64_C(4095),
                        .pages = fill ? 512 : 1 + (uint32_t)(draw_uniform(d) * 8),
                        .fault_class = (uint8_t)(fill ? BENCH_FILL : i % 3 ? BENCH_REPLAY : BENCH_DEMAND),
                };

                if (f.gpa < memory_bytes)
                        bench_fault_add(a, &f);
        }
        for (unsigned i = 0; i < 40; i++) {
                uint64_t           share = memory_bytes * i / 40;
                struct bench_level l = {.t_us = (uint64_t)(t3_us * i / 20), .rss_bytes = (8 << 20) + (i < 15 ? share / 3 : share)};

                l.pss_bytes = l.rss_bytes - (1 << 20);
                bench_level_add(a, &l);
        }
}

static inline void sample_restore_arm(struct bench_group *g, const struct sample_arm *row, struct draws *d, double slow)
{
        struct bench_arm *a = bench_arm_get(g, row->name);
        double            t3 = row->t3_us * slow;

        bench_string_set(&a->what, row->what);
        a->peer = row->peer;
        a->control = row->control;
        sample_values(a, "t3", "us", BENCH_LOWER, d, 20, t3, 0.05);
        sample_values(a, "t4", "us", BENCH_LOWER, d, 20, t3 * 1.3, 0.05);
        sample_values(a, "cpu", "us", BENCH_LOWER, d, 20, t3 * 0.9, 0.08);
        sample_values(a, "rss_peak", "bytes", BENCH_LOWER, d, 20, row->demand < 0 ? 128 << 20 : 40 << 20, 0);
        sample_values(a, "pss.end", "bytes", BENCH_LOWER, d, 20, row->demand < 0 ? 120 << 20 : 39 << 20, 0);
        if (row->demand < 0) {
                bench_string_set(&a->no_timeline, "rouse does not answer this arm's faults");
                return;
        }
        sample_values(a, "t6", "us", BENCH_LOWER, d, 20, t3 * 4, 0.05);
        sample_values(a, "faults.demand", "pages", BENCH_LOWER, d, 20, row->demand, 0.1);
        sample_values(a, "bytes.installed", "bytes", BENCH_NEITHER, d, 20, row->demand * 4096 * 6, 0.1);
        sample_values(a, "stall", "us", BENCH_LOWER, d, 20, row->demand * 21, 0.1);
        sample_timeline(a, d, t3, 128 << 20);
}

static inline void sample_floor(struct bench_result *r, const char *name, const char *what, const char *id, const char *unit, enum bench_better better,
                                struct draws *d, double median)
{
        struct bench_arm *a = bench_arm_get(&r->floors, name);

        bench_string_set(&a->what, what);
        sample_values(a, id, unit, better, d, 7, median, 0.02);
}

static inline void sample_floors(struct bench_result *r, struct draws *d)
{
        bench_string_set(&r->floors.name, "floors");
        sample_floor(r, "KVM calls", "the calls of a restore, bare", "time", "us", BENCH_LOWER, d, 2100);
        sample_floor(r, "UFFDIO_COPY", "one page from warm memory for each fault", "time", "us", BENCH_LOWER, d, 5.2);
        sample_floor(r, "memcpy", "2 MiB at a time", "rate", "bytes/s", BENCH_HIGHER, d, 9.1e9);
}

static inline void sample_restore(struct bench_result *r)
{
        static const struct sample_arm rows[] = {
                {"eager", "reads everything, then runs", false, false, 84100, -1}, {"mmap", "MAP_PRIVATE of the memory file", false, false, 43700, -1},
                {"lazy", "userfaultfd, without hints", false, false, 44000, 1450}, {"hints", "userfaultfd, with replay of hints", false, false, 31800, 120},
                {"qemu <b>\"x\"</b>", "another VMM", true, false, 210000, -1}, {"zero touch", "a guest that touches nothing", false, true, 20500, 12},
        };
        struct draws d = {11};

        sample_facts(r, BENCH_RESTORE, "rouse bench restore '/srv/web & <co>' --cold --peer qemu.json");
        for (unsigned k = 0; k < 2; k++) {
                struct bench_group *g = bench_group_get(r, k ? "web & <co>, cold" : "web & <co>, warm");

                bench_string_set(&g->subject, "/srv/web & <co>");
                bench_string_set(&g->cache, k ? "cold" : "warm");
                bench_string_set(&g->first_metric, "t3");
                bench_string_set(&g->references[0], "eager");
                bench_string_set(&g->references[1], "mmap");
                for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
                        sample_restore_arm(g, &rows[i], &d, k ? 2.2 : 1);
                bench_word_add(g, "hints: T3 saved 11.9 ms over mmap, paging cost 2.5 ms of stall afterwards; the total to T6 is 127 ms, which is worse than eager's 84.1 ms.");
        }
        r->groups[1].arms[1].runs_not_cold = 2;
        r->groups[1].arms[4].runs_failed = 1;
        bench_string_set(&r->groups[1].arms[4].failure, "exit 1: \"cannot open <disk>\"");
        sample_floors(r, &d);
}

static inline void sample_faults(struct bench_result *r)
{
        static const char *const names[] = {"MISSING, copy, 4 KiB", "MISSING, zero page", "CONTINUE", "MAP_PRIVATE", "plain anonymous"};
        struct draws             d = {12};
        struct bench_group      *g;

        sample_facts(r, BENCH_FAULTS, "rouse bench faults --threads 1");
        g = bench_group_get(r, "1 thread, 4 KiB");
        bench_string_set(&g->subject, "one touch of one page");
        bench_string_set(&g->first_metric, "time");
        bench_string_set(&g->references[0], "plain anonymous");
        for (size_t i = 0; i < 5; i++)
                sample_values(bench_arm_get(g, names[i]), "time", "us", BENCH_LOWER, &d, 20, 7.5 - 1.4 * (double)i, 0.04);
        bench_word_add(g, "A fault that is answered by copy costs 4.1 times a plain one.");
        sample_floors(r, &d);
}

/* Three rounds: too few for anything but medians. */
static inline void sample_populate(struct bench_result *r)
{
        struct draws        d = {13};
        struct bench_group *g;

        sample_facts(r, BENCH_POPULATE, "rouse bench populate --runs 3");
        r->rounds = 3;
        g = bench_group_get(r, "1 GiB, warm");
        bench_string_set(&g->subject, "1 GiB of anonymous memory");
        bench_string_set(&g->cache, "warm");
        bench_string_set(&g->first_metric, "rate");
        bench_string_set(&g->references[0], "memcpy");
        sample_values(bench_arm_get(g, "memcpy"), "rate", "bytes/s", BENCH_HIGHER, &d, 3, 9.1e9, 0.03);
        sample_values(bench_arm_get(g, "copy, 2 MiB"), "rate", "bytes/s", BENCH_HIGHER, &d, 3, 4.4e9, 0.03);
        bench_arm_get(g, "lz4")->runs_failed = 3;
        bench_string_set(&bench_arm_get(g, "lz4")->failure, "no packed snapshot was given");
}

static inline void sample_fanout(struct bench_result *r)
{
        static const unsigned counts[] = {1, 4, 16};
        struct draws          d = {14};

        sample_facts(r, BENCH_FANOUT, "rouse bench fanout /srv/web --count 1,4,16");
        for (size_t k = 0; k < 3; k++) {
                char                name[40];
                struct bench_group *g;

                snprintf(name, sizeof(name), "%u clones at once", counts[k]);
                g = bench_group_get(r, name);
                bench_string_set(&g->subject, "/srv/web");
                bench_string_set(&g->first_metric, "burst");
                bench_string_set(&g->references[0], "mmap");
                for (size_t i = 0; i < 2; i++) {
                        struct bench_arm *a = bench_arm_get(g, i ? "shared" : "mmap");

                        sample_values(a, "burst", "us", BENCH_LOWER, &d, 10, 44000.0 * counts[k] * (i ? 0.7 : 1), 0.06);
                        sample_values(a, "success", "count", BENCH_HIGHER, &d, 10, counts[k], 0);
                }
        }
}

static inline void sample_result(enum bench_kind kind, struct bench_result *ret)
{
        static void (*const samples[BENCH_KINDS])(struct bench_result *r) = {
                [BENCH_RESTORE] = sample_restore, [BENCH_FAULTS] = sample_faults, [BENCH_POPULATE] = sample_populate, [BENCH_FANOUT] = sample_fanout,
        };

        samples[kind](ret);
}
