/* bench/run/scratch.h: a directory for what a bench writes, in $TMPDIR or /tmp, and who removes it when the bench cannot.
 * Owns:    the directory and all below it, a lock on it, and its guard, until scratch_remove.
 * Threads: one.
 * Blocks:  on the file system.
 *
 * While a bench lives, or the guard that ends what it has started, the directory is locked (flock), and holds a file SCRATCH_MARK.
 * One with the mark and without the lock is a dead bench's (guard and all killed at once, or the power): the next scratch_make in
 * the same place removes it and says so. */
#pragma once

#include "bench/run/guard.h"
#include "core/base/err.h"

#include <limits.h>
#include <stddef.h>

#define SCRATCH_PREFIX "rouse-bench-"
#define SCRATCH_MARK   ".rouse-bench"

struct scratch {
        char         path[PATH_MAX]; /* absolute; "": there is none */
        int          lock_fd;
        struct guard guard;
};

/* Before there are threads and before much memory is in use (guard.h). */
int  scratch_make(struct scratch *s, struct err *e);
void scratch_remove(struct scratch *s); /* accepts a zeroed one; links are removed, not followed */
/* A directory in it; it may be there already. */
int  scratch_subdir(const struct scratch *s, const char *name, char *ret, size_t size, struct err *e);
/* All of such a directory, whoever's it is. */
void scratch_clear(const char *path);
