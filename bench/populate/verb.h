/* bench/populate/verb.h: the word `rouse bench populate`.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  as long as the bench takes. */
#pragma once

#include "bench/verb.h"

extern const struct bench_verb bench_verb_populate;
