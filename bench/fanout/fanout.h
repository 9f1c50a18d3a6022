/* bench/fanout/fanout.h: one `rouse bench fanout`: what its parts share.
 * Owns:    all that stands in it; the verb gives it back.
 * Threads: one (a burst has a second one of its own).
 * Blocks:  as long as its bursts take.
 *
 *     verb.c     options, the parts in order, the report
 *     limits.c   what fits this machine, before anything is started
 *     rounds.c   each arm, each number of clones, at once and at a steady rate, in an order of chance
 *     burst.c    one burst: started, watched, weighed
 *     memory.c, cgroup.c, line.c   what it holds, on three bases, and the line through that
 *     words.c    lines, slopes, and what to say of it */
#pragma once

#include "bench/fanout/burst.h"
#include "bench/options.h"
#include "bench/run/bench.h"

#define FANOUT_SIZES_MAX 16
#define FANOUT_LINES     "memory over the number of clones"

enum fanout_phase { FANOUT_AT_ONCE, FANOUT_STEADY, FANOUT_PHASES };

struct fanout {
        struct common_options common;
        struct bench          bench; /* its one subject is the snapshot */
        unsigned              sizes[FANOUT_SIZES_MAX];
        size_t                nr_sizes;
        bool                  fits[FANOUT_SIZES_MAX];
        char                  lacks[FANOUT_SIZES_MAX][200]; /* of one that does not fit: why */
        double                rate; /* starts a second of the steady phase; 0: there is none */
        uint64_t              settle_ns;
        struct burst_cgroup   cgroup;
        uint64_t              one_bytes[ARMS_MAX]; /* what one clone of the arm held, warm; the most of three bases */
};

/* Errors: -errno and *e; -ECANCELED: the user stopped it. */

struct subject *fanout_subject(struct fanout *f);
/* One clone of each arm: the caches are warm afterwards, what cannot be had here is left out, and one_bytes is known. */
int fanout_warm_up(struct fanout *f, struct err *e);
/* Marks the sizes that fit, and tells of those that do not. -ENOMEM: none does. */
int fanout_limits(struct fanout *f, struct err *e);
int fanout_rounds(struct fanout *f, struct err *e);
void fanout_words(struct fanout *f);

/* Starts of a steady phase of so many VMs at a time: until there are as many, and then for a while as they make room for each
 * other. */
unsigned fanout_steady_starts(unsigned clones);

/* The group of so many clones; made where it is not there. */
struct bench_group *fanout_group(struct fanout *f, unsigned clones, enum fanout_phase phase);

struct bench_verb;
extern const struct bench_verb bench_verb_fanout;
