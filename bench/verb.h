/* bench/verb.h: one word of `rouse bench WORD`, and what the words share.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  run, as long as the bench takes. */
#pragma once

#include "bench/model/result.h"

#include <stdbool.h>
#include <stdint.h>

struct bench_verb {
        const char *name;
        const char *summary; /* a line of `rouse bench --help` */
        const char *help;    /* usage, options, an example */
        int (*run)(int argc, char **argv); /* argv[0] is the word; the exit status (cli.md) */
};

enum { BENCH_EXIT_OK, BENCH_EXIT_FAILED, BENCH_EXIT_USAGE, BENCH_EXIT_REGRESSION, BENCH_EXIT_BAD_SNAPSHOT };

/* "rouse bench WORD: ..." on standard error; the status that stands in the name. */
int bench_usage(const char *word, const char *format, ...) __attribute__((format(printf, 2, 3)));
int bench_failed(const char *word, const char *format, ...) __attribute__((format(printf, 2, 3)));
