/* bench/report/verbs.h: the words of `rouse bench` that measure nothing.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  on files. */
#pragma once

#include "bench/verb.h"

extern const struct bench_verb bench_verb_compare, bench_verb_report, bench_verb_summary;
