/* bench/run/bench.h: one `rouse bench restore`, from its words to its result; what the parts of it share.
 * Owns:    all that stands in it; bench_close gives it back, the temporary directory too.
 * Threads: one.
 * Blocks:  as long as its runs take.
 *
 *     restore.c     the verb: the parts in order, the report
 *     subject.c     a snapshot: is it whole, which files stand behind it, how big; its arms
 *     rounds.c      warm-up, then round after round in an order of chance; cold runs proved
 *     hints.c       recorded on some runs, judged on others
 *     timeline.c    one more run of each arm, watched closely
 *     control.c     a guest that touches nothing, restored by each arm
 *     floors.c      what the same machine does with bare calls
 *     machine.c     what of the machine decides such figures, beside bench/describe.h's
 *     words.c       what moved and what it cost, in words */
#pragma once

#include "bench/run/arm.h"
#include "bench/run/guest_run.h"
#include "bench/run/options.h"
#include "bench/run/progress.h"
#include "bench/run/scratch.h"
#include "bench/verb.h"
#include "core/model/mem_layout.h"

enum bench_cache { CACHE_WARM, CACHE_COLD, CACHES };

#define SUBJECT_PATHS_MAX 64
#define CONTROL_GROUP     "control: a guest that touches nothing"

/* One snapshot. */
struct subject {
        char              *dir, *name; /* absolute; as groups are named */
        char               scratch[4200], hints[4300];
        char              *paths[SUBJECT_PATHS_MAX]; /* its own directory and those of its parents */
        size_t             nr_paths;
        uint64_t           data_bytes, zero_bytes;
        struct mem_layout  layout;
        struct arm_setting setting;
        struct arm_list    arms;
        bool               out[ARMS_MAX]; /* not run any more: it cannot be had here */
        bool               control;       /* of the zero-touch control: its group is that */
};

struct bench {
        struct restore_bench_options o;
        char                         rouse[4200];
        struct scratch               scratch;
        struct guest_stop            stop;
        struct subject               subjects[RESTORE_DIRS_MAX];
        size_t                       nr_subjects;
        struct bench_result          result;
        struct progress              progress;
        uint64_t                     random; /* the shuffle's */
        bool                         failed; /* an arm that was asked for has no values */
};

/* Errors of the parts: -errno and *e; -ECANCELED: the user stopped it. */

/* Everything for b->o, but no run yet. On failure, too, bench_close gives back what is there. */
int  bench_open(struct bench *b, struct err *e);
void bench_close(struct bench *b);
int  subject_open(struct bench *b, const char *dir, struct subject *ret, struct err *e); /* on failure nothing is left */
void subject_close(struct subject *s);
/* Are all its files, and those that the arm reads beside them, in (or out of) the page cache now? *ret_left: pages that would not
 * go. */
int subject_fill_cache(const struct subject *s, const struct arm *a, struct err *e);
int subject_empty_cache(const struct subject *s, const struct arm *a, uint64_t *ret_left, char **ret_file, struct err *e);

/* The group of the result that an arm's runs of this kind stand in, and the arm in it; made where it is not there yet. */
struct bench_group *bench_subject_group(struct bench *b, const struct subject *s, enum bench_cache cache);
struct bench_arm   *bench_subject_arm(struct bench *b, const struct subject *s, enum bench_cache cache, const struct arm *a);

int bench_record_hints(struct bench *b, struct subject *s, struct err *e);
int bench_score_hints(struct bench *b, struct subject *s, struct err *e);
int bench_warm_up(struct bench *b, struct err *e);
int bench_rounds(struct bench *b, struct err *e);
int bench_timelines(struct bench *b, struct err *e);
int bench_control(struct bench *b, struct err *e);
int bench_floors(struct bench *b, struct err *e);
void bench_describe_machine(struct bench *b);
void bench_words(struct bench *b);

/* rouse with these words (NULL-ended) to its end; its standard output goes to the file, its last line on standard error into the
 * message. */
int bench_rouse(struct bench *b, const char *out, const char *const *words, struct err *e);

/* One draw of splitmix64. */
uint64_t bench_random(uint64_t *state);
/* A permutation of [0, nr) by Fisher and Yates. */
void bench_shuffle(size_t *v, size_t nr, uint64_t *state);
