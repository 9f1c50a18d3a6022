/* tools/cli.h: what every verb needs to read its words and to say how it went. The only place that prints errors.
 * Owns:    nothing.
 * Threads: main thread.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* cli.md, "Exit status" */
enum exit_status {
        EXIT_OK = 0,
        EXIT_FAILED = 1,
        EXIT_USAGE = 2,
        EXIT_SNAPSHOT = 4,
        EXIT_LOST = 5,
        EXIT_TIMEOUT = 124,
        EXIT_SIGNAL_BASE = 128,
};

/* Ends every verb's list of options. */
#define CLI_LAST_OPTIONS {"help", no_argument, NULL, 'h'}, {0}

struct verb {
        const char *name;
        const char *summary; /* one line */
        const char *help;    /* usage, options, an example; NULL: run is asked for it (tools/libexec.h) */
        int (*run)(int argc, char **argv, uint64_t t0_ns); /* argv[0] is the verb; returns an exit status */
};

extern const struct verb verb_run, verb_restore, verb_snapshot, verb_inspect, verb_verify, verb_convert, verb_probe, verb_ledger,
        verb_list, verb_start, verb_stop, verb_delete, verb_stratovirt_args, verb_hints, verb_bench, verb_trace;

/* "rouse: <text>" on standard error; the exit status that fits. */
int cli_fail(const struct err *e);
/* The same for a usage error, with a pointer to --help. */
int cli_usage(const char *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A message that stops nothing: "rouse: <text>". As session_options.message. */
void cli_message(void *arg, const char *text);

/* How far long work is, over the last line of standard error: for a terminal. arg: a bool that is set, so that its caller ends
 * the line. */
void cli_progress(void *arg, uint64_t done_bytes, uint64_t all_bytes);

/* getopt_long without its own messages: the next option's value, -1 at the end, '?' after printing what is wrong (an unknown
 * option, a missing argument): then return EXIT_USAGE. --help prints the help and ends the program. */
int cli_getopt(const struct verb *v, int argc, char **argv, const struct option *options);
/* The same with options of one letter, as in getopt(3): "o:"; a '+' before them ends the options at the first other word. */
int cli_getopt_short(const struct verb *v, int argc, char **argv, const char *letters, const struct option *options);

/* --base DIR, again and again. */
#define CLI_BASES_MAX 256
struct cli_bases {
        size_t      nr;
        const char *v[CLI_BASES_MAX];
};
/* False: there are too many; told. */
bool cli_base(const char *verb, const char *dir, struct cli_bases *ret);
#define CLI_BASE_HELP "  --base DIR            where a parent of the snapshot is now; again for more. Otherwise: where it was when the\n" \
                      "                        snapshot was written, seen from the snapshot or from the root. It must be the same one\n"

/* INT, TERM and HUP, which end long work in order. Not what the caller has us ignore, as nohup(1) does: blocked, it would be
 * heard. */
void cli_end_signals(sigset_t *ret);

/* "128M" -> bytes; K, M, G are powers of 1024. "500ms", "2s", "10us" -> ns. False: not of that form or too large. */
bool cli_size(const char *text, uint64_t *ret_bytes);
bool cli_time(const char *text, uint64_t *ret_ns);
bool cli_on_off(const char *text, bool *ret);
bool cli_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* $XDG_DATA_HOME/rouse, ~/.local/share/rouse, or /var/lib/rouse for root without XDG_DATA_HOME. */
const char *cli_data_dir(char *buf, size_t size);
/* $XDG_STATE_HOME/rouse, ~/.local/state/rouse, or /var/lib/rouse for root without XDG_STATE_HOME. */
const char *cli_state_dir(char *buf, size_t size);
/* $XDG_RUNTIME_DIR/rouse, or /run/rouse for root, or /tmp/rouse-UID. */
const char *cli_runtime_dir(char *buf, size_t size);
