/* bench/model/result.h: what one bench measured, as plain data. The runners fill it; the reports (table, JSON, HTML) and `bench
 * compare` read it. Values are kept raw, one a run, each with its round: what stood side by side in one round can be compared in
 * pairs. Medians, intervals and ratios are bench/stats' and stand in no field here.
 * Owns:    all strings and arrays (malloc); bench_result_free frees them, whatever has been filled so far. A zeroed struct is an
 *          empty result.
 * Threads: one.
 * Blocks:  never. Adding exits the program (status 1) where there is no memory, and where a value is not finite. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_RESULT_VERSION 1

enum bench_kind { BENCH_RESTORE, BENCH_FAULTS, BENCH_POPULATE, BENCH_FANOUT, BENCH_KINDS };

/* What a larger value means for whoever has to pay for it. BENCH_NEITHER: told, never judged. */
enum bench_better { BENCH_LOWER, BENCH_HIGHER, BENCH_NEITHER };

struct bench_value {
        uint32_t round; /* values of one round were measured side by side */
        double   value; /* in the metric's unit; finite */
};

struct bench_metric {
        char              *id;   /* stable: "t3", "faults.demand", "rss_peak"; the schema lists them */
        char              *unit; /* "us", "bytes", "bytes/s", "pages", "count" or "ratio" */
        enum bench_better  better;
        struct bench_value *values;
        size_t              nr;
};

/* The classes are the ledger's; BENCH_HOST: the host kernel brought it (mmap, peers), as `rouse trace` saw it. */
enum bench_fault_class { BENCH_DEMAND, BENCH_AROUND, BENCH_REPLAY, BENCH_FILL, BENCH_ZERO, BENCH_HOST, BENCH_FAULT_CLASSES };

/* Of the timeline run, which is a run of its own and gives no values. */
struct bench_fault {
        uint64_t t_us; /* since T0 */
        uint64_t gpa;  /* of the first byte */
        uint32_t pages; /* of 4 KiB */
        uint8_t  fault_class; /* enum bench_fault_class */
};

/* What the arm's whole process tree held, of the same run. */
struct bench_level {
        uint64_t t_us; /* since T0 */
        uint64_t rss_bytes, pss_bytes;
};

struct bench_arm {
        char                *name; /* "eager", "auto", a peer's name, "8 threads, MISSING + copy" */
        char                *what; /* one sentence: what it does */
        bool                 peer; /* not rouse */
        bool                 control; /* a zero-touch guest or the like: in no ranking */
        struct bench_metric *metrics;
        size_t               nr_metrics;
        unsigned             runs_failed, runs_not_cold; /* thrown away; their metrics have no values */
        /* of the first run that failed, one line; with runs_failed 0: why there was no run at all; NULL: none did */
        char                *failure;
        struct bench_fault  *faults;
        size_t               nr_faults;
        struct bench_level  *levels;
        size_t               nr_levels;
        uint64_t             timeline_t3_us; /* of the run that faults are of; 0: not known */
        char                *no_timeline; /* why there are no faults; NULL: there are, or nobody asked */
};

/* Arms that ran side by side on the same thing. */
struct bench_group {
        char             *name;    /* "microvm-128m, cold", "4 clones at once" */
        char             *subject; /* the snapshot's path, or what is measured */
        char             *cache;   /* "warm", "cold"; NULL where it has no meaning */
        char             *first_metric; /* the id of the one that people look at first: "t3", "p50", "rate" */
        char             *references[2]; /* names of the arms that ratios are to: "eager", "mmap", "floor"; NULL: none */
        struct bench_arm *arms;
        size_t            nr_arms;
        char            **words; /* the last lines: what moved and what it cost */
        size_t            nr_words;
};

struct bench_fact {
        char *name, *value; /* "cpu", "AMD EPYC ..."; "virtualization", "..." */
};

struct bench_result {
        enum bench_kind     kind;
        char               *command; /* as it was called */
        char               *rouse_version, *commit; /* commit: NULL where nobody knows */
        int64_t             started_unix_s;
        double              took_s;
        uint64_t            seed;
        unsigned            rounds; /* asked for */
        struct bench_fact  *machine;
        size_t              nr_machine;
        struct bench_group  floors; /* what the same machine did with bare calls, in the same run; an arm each */
        struct bench_group *groups;
        size_t              nr_groups;
};

/* The group, arm or metric of that name; added at the end where it was not there. What is returned moves when another one is
 * added. */
struct bench_group  *bench_group_get(struct bench_result *r, const char *name);
struct bench_arm    *bench_arm_get(struct bench_group *g, const char *name);
struct bench_metric *bench_metric_get(struct bench_arm *a, const char *id, const char *unit, enum bench_better better);

/* Takes the metric of that id away again, where there is one. */
void bench_metric_remove(struct bench_arm *a, const char *id);

/* NULL where there is none. */
const struct bench_arm    *bench_arm_find(const struct bench_group *g, const char *name);
const struct bench_metric *bench_metric_find(const struct bench_arm *a, const char *id);

void bench_value_add(struct bench_metric *m, uint32_t round, double value);
void bench_fact_add(struct bench_result *r, const char *name, const char *value);
/* For each reason why arms could not be measured at all (failure, though no run failed): a word that names them. */
void bench_words_of_lacks(struct bench_group *g);
void bench_word_add(struct bench_group *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bench_fault_add(struct bench_arm *a, const struct bench_fault *f);
void bench_level_add(struct bench_arm *a, const struct bench_level *l);

/* *s becomes a copy of value, what it held is freed. */
void bench_string_set(char **s, const char *value);

void bench_result_free(struct bench_result *r);
