/* bench/run/options.h: the words behind `rouse bench restore`.
 * Owns:    nothing; strings are argv's.
 * Threads: plain data.
 * Blocks:  never. */
#pragma once

#include "bench/report/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESTORE_DIRS_MAX  16
#define RESTORE_PEERS_MAX 32
#define RESTORE_NAMES_MAX 16

struct restore_bench_options {
        const char          *dirs[RESTORE_DIRS_MAX];
        size_t               nr_dirs;
        char                 arms_text[256];             /* what arms points into */
        const char          *arms[RESTORE_NAMES_MAX];    /* rouse's own */
        size_t               nr_arms;                    /* 0: peers alone */
        bool                 arms_named;                 /* --arms was given: what of it cannot be had is told as a failure, not left out */
        const char          *peers[RESTORE_PEERS_MAX];
        size_t               nr_peers;
        const char          *rouse;                      /* NULL: the one that belongs to this program */
        const char          *mark;
        unsigned             runs;
        uint64_t             seed, settle_ns, timeout_ns;
        bool                 cold;
        bool                 without_control, without_floors, without_timeline, without_hints_score;
        struct bench_outputs outputs;
};

/* 0, or an exit status: what is wrong has been told. */
int restore_options_parse(int argc, char **argv, struct restore_bench_options *ret);
extern const char restore_bench_help[];

struct bench_verb;
extern const struct bench_verb bench_verb_restore;
