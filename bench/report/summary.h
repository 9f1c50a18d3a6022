/* bench/report/summary.h: several results on one page: Markdown for a README, and an index of their pages.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  on the streams and files.
 *
 * A README keeps its section between these two lines; what stands between them is written anew, and nothing else is touched:
 *
 *     <!-- bench: begin -->
 *     <!-- bench: end -->
 */
#pragma once

#include "bench/model/result.h"
#include "core/base/err.h"

#include <stdio.h>

#define SUMMARY_BEGIN "<!-- bench: begin -->\n"
#define SUMMARY_END   "<!-- bench: end -->\n"

/* Date, machine, commit, and few tables that are taken in at a glance. What fails is left in ferror(to). */
void summary_markdown(FILE *to, const struct bench_result *v, size_t nr);

/* The tables of one result (summary_table.c): what a reader wants to know of each arm, and not all that was measured. Of restores one for
 * each snapshot, its warm and cold runs one below the other; of others one for each first metric. Controls have none. */
void summary_tables(FILE *to, const struct bench_result *r);
/* What others named, in a cell: nothing of it can end the cell or be taken for markup. */
void summary_cell(FILE *to, const char *text);

/* One page with a line for each result and a link to pages[i], which is relative to it (NULL: none). */
void summary_index(FILE *to, const struct bench_result *v, const char *const *pages, size_t nr);

/* As it was called, but for where its results went; the caller frees it. */
char *summary_command(const struct bench_result *r);

/* Puts text between the two lines of the file. 0; -errno, or -EBADMSG where a line is missing, doubled or out of order: the file
 * is as it was. */
int summary_replace(const char *path, const char *text, struct err *e);
