/* bench/report/report.h: a result as people and programs read it. Everything is worked out from struct bench_result alone.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  on the files that it writes. */
#pragma once

#include "bench/model/result.h"

#include <stdbool.h>
#include <stdio.h>

/* How a table may look where it goes. */
struct bench_look {
        unsigned columns; /* it never gets wider; at least 60 */
        bool     utf8;    /* blocks for bars; else ASCII */
        bool     colour;  /* escapes: never where it is no terminal, or with NO_COLOR */
};

/* Of an open stream: a terminal's width up to 100 (100 where it is none), the locale's character set (of LC_ALL, LC_CTYPE,
 * LANG). */
struct bench_look bench_look_of(FILE *to);

/* The table, the second block, floors, words. What fails is left in ferror(to). */
void bench_table_print(FILE *to, const struct bench_result *r, const struct bench_look *look);

struct bench_outputs {
        const char *json; /* --json FILE, "-": standard output, and then nothing else goes there; NULL: none */
        const char *html; /* --html FILE; NULL: none */
};

/* Before anything is measured: can the files be written? An exit status; what is wrong was told, nothing is changed. */
int bench_outputs_check(const char *word, const struct bench_outputs *to);

/* What every word of rouse bench does at its end: the table on standard output (unless JSON goes there), and the files. word is
 * for messages. An exit status of bench/verb.h; what cannot be written is told. */
int bench_report(const char *word, const struct bench_result *r, const struct bench_outputs *to);

/* The same of a bench that a signal has stopped (0: none has), with a word about it in every group; nothing where nothing was
 * measured. 128 + signal. */
int bench_report_stopped(const char *word, int signal, struct bench_result *r, const struct bench_outputs *to);
