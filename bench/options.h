/* bench/options.h: options that words of `rouse bench` share, and the reading of theirs.
 * Owns:    nothing; strings are argv's.
 * Threads: one.
 * Blocks:  never. */
#pragma once

#include "bench/report/report.h"

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Digits and nothing else, from min to max. */
bool option_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* The same with K, M or G behind it. */
bool option_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret_bytes);
/* Digits and us, ms or s; more than nothing. */
bool option_time(const char *text, uint64_t *ret_ns);
/* "1,2,8": at most nr_max numbers. */
bool option_numbers(const char *text, uint64_t min, uint64_t max, unsigned *v, size_t nr_max, size_t *ret_nr);
/* "a,b" of names (nr of them): has[i] for each. */
bool option_names(const char *text, const char *const *names, size_t nr, bool *has);

/* What a word that measures without VMs has beside options of its own. */
struct common_options {
        unsigned             runs;
        uint64_t             seed;
        const char          *tmp; /* where files are made; NULL: $TMPDIR or /tmp */
        struct bench_outputs outputs;
};

#define COMMON_OPTIONS                                                                                                                 \
        { "runs", required_argument, NULL, 'n' }, { "seed", required_argument, NULL, 's' }, { "tmp", required_argument, NULL, 'd' },   \
                { "json", required_argument, NULL, 'j' }, { "html", required_argument, NULL, 'H' },                                    \
        {                                                                                                                              \
                0                                                                                                                      \
        }

#define COMMON_HELP(what_is_made)                                                                            \
        "  --runs N              rounds that count, after one that does not (default 20; p95 needs 20, p99 100)\n" \
        "  --seed N              of every order of chance (default 1)\n"                                     \
        "  --tmp DIR             where " what_is_made " made (default $TMPDIR, else /tmp)\n"                 \
        "  --json FILE           the result for programs; -: on standard output, and nothing else there\n"   \
        "  --html FILE           one page with all of it\n"

/* A word's own option: NULL where it took it; else what it expected, as in "a number". */
typedef const char *(*option_take)(int c, const char *value, void *arg);

/* Reads all options; the common ones (the last rows of options) go to common. An exit status: what is wrong was told. optind is
 * the first word that is none. */
int options_parse(const char *word, int argc, char **argv, const struct option *options, struct common_options *common,
                  option_take take, void *arg);
