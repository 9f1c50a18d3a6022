/* bench/run/arm.h: an arm of `rouse bench restore`: one way to wake a snapshot. rouse's own modes are arms (rouse_arm.c), and so
 * is any other VMM (bench/peers). The runner calls them in turns; an arm starts a process tree, has guest_run (guest_run.h) watch
 * it, and ends it.
 * Owns:    arm_free gives back what stands in it, by ops->cleanup.
 * Threads: one.
 * Blocks:  run, until the guest has answered, or a limit of the request.
 *
 *     prepare    once for each snapshot: what is needed before the first run (a program that must exist, a state file to be written)
 *     run        once: T0 is q's to be taken just before the program is started (guest_run_start does)
 *     cleanup    once, after the last run */
#pragma once

#include "bench/run/metrics.h"
#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct arm;
struct guest_stop;

/* What holds for all runs over one snapshot. Strings are borrowed until cleanup. */
struct arm_setting {
        const char        *rouse;   /* the program */
        const char        *dir;     /* the snapshot, absolute */
        const char        *scratch; /* a directory for the arm's own files; it is removed whole at the end. Short enough for sockets */
        const char        *mark;    /* an extended regular expression for a line of the serial port, or NULL: T3 is the end */
        const char        *hints;   /* recorded on runs of their own; NULL: none */
        uint64_t           settle_ns;  /* the guest goes on until so long after T0; 0: until the mark */
        uint64_t           timeout_ns; /* from T0: a run that has not come to its end by then has failed */
        struct guest_stop *stop;    /* Ctrl-C */
};

struct arm_request {
        const struct arm_setting *setting;
        struct bench_arm         *timeline; /* NULL: a timed run. Else its faults and levels go there, and nobody keeps the values */
        const char *const        *wrap; /* words that stand before the program's own (guest_run_start puts them there), NULL-ended; NULL: none */
};

struct arm_ops {
        /* 0, or -errno: then *e says what is missing and the arm is left out. May be NULL. */
        int (*prepare)(struct arm *a, const struct arm_setting *s, struct err *e);
        /* 0 and *ret; or -errno and *e: the run has failed (-ECANCELED: the user stopped it). Nothing of it is left running
         * either way. */
        int (*run)(struct arm *a, const struct arm_request *q, struct metric_values *ret, struct err *e);
        void (*cleanup)(struct arm *a); /* may be NULL */
};

struct arm {
        const struct arm_ops *ops;
        char                 *name; /* as the user knows it */
        char                 *what; /* one sentence */
        bool                  peer; /* not rouse */
        bool                  in_control; /* takes part in the zero-touch control: it can wake any snapshot that rouse can */
        /* Files and directories that a run reads beside the snapshot's own: taken out of the page cache for cold runs, and into
         * it for warm ones */
        char                **paths;
        size_t                nr_paths;
        void                 *own; /* of ops */
};

#define ARMS_MAX 64
struct arm_list {
        struct arm v[ARMS_MAX];
        size_t     nr;
};

/* A copy of name and what; exits without memory. NULL: there are ARMS_MAX already. */
struct arm *arm_list_add(struct arm_list *l, const struct arm_ops *ops, const char *name, const char *what);
void        arm_list_free(struct arm_list *l);
/* One more path of the arm's. */
void        arm_add_path(struct arm *a, const char *path);

/* --- who makes them --- */

/* rouse's own, of that name ("eager", "eager-naive", "mmap", "lazy", "hints", "shared", "auto"); false: there is no such one. */
bool rouse_arm_add(struct arm_list *l, const char *name);
/* All of them, separated by commas. */
#define ROUSE_ARMS "eager,eager-naive,mmap,lazy,hints,shared,auto"
/* One more, for the zero-touch control alone: the lazy arm without its background fill. */
#define ROUSE_ARM_NO_FILL "lazy, no fill"
/* Is it one of rouse's own, and does it replay the setting's hints? */
bool rouse_arm_has_hints(const struct arm *a);
/* What makes it that arm: words behind `rouse restore DIR`, NULL at the end. Of rouse's own arms only. */
const char *const *rouse_arm_words(const struct arm *a);

/* bench/run/peer_arm.c: `--peer FILE`. 0, or -errno and *e: what of the file is wrong. */
int peer_arm_add(struct arm_list *l, const char *file, struct err *e);
