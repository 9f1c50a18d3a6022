/* bench/run/page_cache.h: takes files out of the page cache or into it, and proves it: a cold run that was not cold says nothing.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  on the file system.
 *
 * A path is a file, or a directory: then every file in it (not below). */
#pragma once

#include "core/base/err.h"

#include <stdint.h>

/* *ret_left: pages that are still cached afterwards, as mincore(2) tells; 0 is cold. Those that somebody maps or locks, or holds
 * dirty, stay; and of a file that is another user's mincore tells nothing but that all is there. *ret_file: one that has such
 * pages, for a message; freed by the caller. */
int page_cache_evict(const char *path, uint64_t *ret_left, char **ret_file, struct err *e);

/* Every file is read, as far as it is not there. */
int page_cache_fill(const char *path, struct err *e);
