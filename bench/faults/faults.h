/* bench/faults/faults.h: one `rouse bench faults`, from its words to its result; what the parts of it share.
 * Owns:    all that stands in it; faults_close gives it back.
 * Threads: one; each mechanism's own while it is measured.
 * Blocks:  as long as its rounds take.
 *
 *     verb.c        options, the parts in order, the report
 *     ground.c      what is touched, and what stands behind it
 *     mechanisms.c  a table: how memory is mapped, and who answers its faults
 *     rounds.c      groups; each round has every mechanism of every group once, in an order of chance
 *     words.c       how far from the floor, in words */
#pragma once

#include "bench/floors/rig.h"
#include "bench/model/result.h"
#include "core/base/err.h"

#define FAULTS_THREADS_MAX 8 /* kinds of groups: numbers of threads that one call may ask for */

struct bare_loop;
struct guest_stop;
struct template;

struct faults_options {
        unsigned    threads[FAULTS_THREADS_MAX];
        size_t      nr_threads;
        unsigned    runs, touches; /* touches: of all threads together, in a run */
        uint64_t    seed, memory_bytes;
        bool        small, huge; /* pages of 4 KiB, of 2 MiB */
        const char *dir;         /* where the memory file is made */
        struct guest_stop *stop; /* ends it between two measurements */
};

/* A memory to touch, and all that some mechanism stands on; one for each page size. */
struct ground {
        bool             huge;
        uint64_t         nr_units; /* pages of page_bytes */
        uint64_t         page_bytes;
        struct rig       rig;
        struct page_map  zeros; /* all of RAM is one zero run */
        struct template *filled; /* all of it is there already; NULL: it cannot be had, and no_template says why */
        struct err       no_template;
        uint64_t        *order, *in_order;
};

/* What is being touched now. */
struct touched {
        uint8_t          *memory;
        uint64_t          bytes;
        struct bare_loop *bare;
        struct pager     *pager;
};

struct mechanism {
        const char *name, *what;
        bool        small, huge; /* for which pages there is such a thing */
        bool        write;       /* touched by a write: a read would meet the kernel's zero page, or share the file's */
        /* 0, or -errno and *e: this host lacks it, and what to do. May be NULL. */
        int (*check)(const struct ground *g, struct err *e);
        /* Memory that nobody has touched, and whoever answers its faults; -errno and *e. */
        int (*begin)(struct ground *g, bool spare_cpu, struct touched *ret, struct err *e);
};

#define FAULTS_FLOOR "bare loop"
#define FAULTS_OWN   "MISSING, copy"

extern const struct mechanism mechanisms[];
extern const size_t           nr_mechanisms;

void     ground_open(struct ground *g, const struct faults_options *o, bool huge);
void     ground_close(struct ground *g); /* accepts a zeroed one */
/* CPU time so far of whoever answers; 0: the kernel does, in the thread that touches. */
uint64_t touched_cpu_ns(const struct touched *t);
void     touched_end(struct touched *t);

/* Every group of the options, round by round, until all is measured or somebody stops it. Round 0 finds the host's memory and is
 * thrown away. */
void faults_measure(const struct faults_options *o, struct bench_result *r);
void faults_words(struct bench_result *r);
