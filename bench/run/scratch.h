/* bench/run/scratch.h: a directory for what a bench writes, in $TMPDIR or /tmp.
 * Owns:    the directory and all below it, until scratch_remove.
 * Threads: one.
 * Blocks:  on the file system. */
#pragma once

#include "core/base/err.h"

#include <limits.h>
#include <stddef.h>

struct scratch {
        char path[PATH_MAX]; /* "": there is none */
};

int  scratch_make(struct scratch *s, struct err *e);
void scratch_remove(struct scratch *s); /* accepts a zeroed one; links are removed, not followed */
/* A directory in it; it may be there already. */
int  scratch_subdir(const struct scratch *s, const char *name, char *ret, size_t size, struct err *e);
