/* bench/page_cache.h: takes files out of the page cache or into it, and proves it: a cold run that was not cold says nothing.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  on the file system. */
#pragma once

#include <stdint.h>

/* Every file in DIR (not below). Pages that are still cached afterwards: 0 is cold. Those that somebody maps or holds dirty stay. Exits
 * where DIR cannot be looked at. */
uint64_t page_cache_evict_dir(const char *dir);

/* Every file in DIR is read, as far as it is not there. */
void page_cache_fill_dir(const char *dir);
