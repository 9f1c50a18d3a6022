/* bench/run/progress.h: how far a bench is and how long it will take, over the last line of a terminal; nothing elsewhere.
 * Owns:    the last line of standard error.
 * Threads: one.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
        bool     shown; /* standard error is a terminal */
        size_t   done, all; /* runs, each taken as long as the others */
        uint64_t since_ns;
};

void progress_begin(struct progress *p, size_t all);
/* One more is about to start: what. */
void progress_next(struct progress *p, const char *what);
/* The line is taken away, so that others can write. */
void progress_hide(const struct progress *p);
