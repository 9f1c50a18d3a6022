/* core/compare_hints.h: at the end of a recording: which of the touched pages have other bytes than the snapshot.
 * Owns:    nothing.
 * Threads: the guest must not run.
 * Blocks:  on the file system: the touched pages are read once more. */
#pragma once

#include "core/model/hints.h"
#include "core/model/page_map.h"

/* Sets HINT_ZERO by the snapshot's bytes, and HINT_DIFFERS by ram's (of RAM page 0 on). ram says nothing of pages that `has`
 * denies. */
int hints_compare(struct hints *h, const struct page_map *map, const uint8_t *ram, bool (*has)(const void *arg, uint64_t page),
                  const void *arg, struct err *e);
