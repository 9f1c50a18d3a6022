/* core/naive.h: reads a snapshot as most VMMs do: every byte in order, zeros too, on one thread, into whatever pages RAM has. For
 * comparisons (rouse restore --mode eager --naive): an eager restore that is worth its name knows its zeros and asks for huge
 * pages.
 * Owns:    nothing.
 * Threads: session thread.
 * Blocks:  on the file system. */
#pragma once

#include "core/guest_ram.h"

/* As guest_ram_read_all, which says what is wrong with a page. */
int naive_read_all(const struct guest_ram *r, const struct page_map *map, bool verify, uint64_t *ret_bytes, struct err *e);
