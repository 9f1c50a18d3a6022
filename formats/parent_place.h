/* formats/parent_place.h: where a snapshot's parent was when the child was written: two ways to it, as paths go stale.
 * Owns:    its strings; parent_place_free gives them back and accepts a zeroed one.
 * Threads: any.
 * Blocks:  on the file system. */
#pragma once

#include "core/base/err.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct parent_place {
        char *absolute; /* or NULL: not known */
        /* to the child's own directory: a tree that is moved as a whole keeps it; NULL: nothing in common but the root */
        char *relative;
};

void parent_place_free(struct parent_place *p);

/* Of the directory `parent`, for a child that will be the directory `child` (its last part need not exist). A path that no
 * terminal could show is refused: it would have to be shown when it is missed. */
int parent_place_make(const char *parent, const char *child, struct parent_place *ret, struct err *e);

/* From the root to `to`, as seen from the directory `from`: both absolute and without links or dots. NULL: nothing in common (or
 * no memory). The caller frees it. */
char *parent_place_relative(const char *from, const char *to);

/* Of bytes out of a file: may it be a path, absolute or not? Without a NUL, no longer than PATH_MAX allows, nothing but
 * characters. */
bool parent_place_is_path(const char *bytes, size_t len, bool absolute);
