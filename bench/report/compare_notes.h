/* bench/report/compare_notes.h: what a comparison says beside its rows; the inside of bench/report/compare.h.
 * Owns:    nothing; a note is the comparison's.
 * Threads: one.
 * Blocks:  never. */
#pragma once

#include "bench/report/compare.h"

void compare_note(struct comparison *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Machines, subjects, commands, versions that differ; groups and arms that only one has. */
void compare_note_differences(struct comparison *c, const struct bench_result *a, const struct bench_result *b);
/* A metric that the other has not, or has no values of. */
void compare_note_metric(struct comparison *c, const struct bench_group *g, const struct bench_arm *arm,
                         const struct bench_metric *a, const struct bench_metric *b);
/* Every arm of a group went the same way: it may be what they share, or a shift that no control saw. */
void compare_note_common_shift(struct comparison *c);

const struct bench_group *compare_group_find(const struct bench_result *r, const char *name);
