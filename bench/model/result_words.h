/* bench/model/result_words.h: the words that stand for a result's enumerations in JSON. They are for ever.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "bench/model/result.h"

#define RESULT_SCHEMA "rouse-bench-result"

static const char *const result_kind_words[BENCH_KINDS] = {
        [BENCH_RESTORE] = "restore", [BENCH_FAULTS] = "faults", [BENCH_POPULATE] = "populate", [BENCH_FANOUT] = "fanout",
};

enum { BENCH_BETTERS = 3 };
static const char *const result_better_words[BENCH_BETTERS] = {
        [BENCH_LOWER] = "lower", [BENCH_HIGHER] = "higher", [BENCH_NEITHER] = "neither",
};

static const char *const result_class_words[BENCH_FAULT_CLASSES] = {
        [BENCH_DEMAND] = "demand", [BENCH_AROUND] = "around", [BENCH_REPLAY] = "replay", [BENCH_FILL] = "fill",
        [BENCH_ZERO] = "zero", [BENCH_HOST] = "host",
};
