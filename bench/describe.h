/* bench/describe.h: what stands at the head of every result: how it was called, what was built, and the machine.
 * Owns:    nothing; strings are the result's.
 * Threads: one.
 * Blocks:  on files of /proc and /sys. */
#pragma once

#include "bench/model/result.h"

/* Before anything is measured: kind, command (from argv of the word), versions, the moment, the machine. */
void bench_describe(struct bench_result *r, enum bench_kind kind, int argc, char *const *argv);
/* At the end: how long it took. */
void bench_describe_end(struct bench_result *r);
