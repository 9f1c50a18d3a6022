/* core/ram_blocks.h: all of guest RAM, block by block: what is written, hashed, or only counted.
 * Owns:    nothing.
 * Threads: session thread; the guest must not run while bytes are looked at.
 * Blocks:  ram_blocks_walk while the pager brings a page. */
#pragma once

#include "core/guest_ram.h"

/* bytes NULL: zeros. An error ends the walk. */
typedef int (*ram_block_fn)(void *arg, const void *bytes, uint64_t nr_pages, struct err *e);

/* Every block in order, copied out so that a lost page is an error and not a SIGBUS. Where no file stands behind RAM, a page that
 * is not resident reads as zeros, and is not touched. */
int ram_blocks_walk(const struct guest_ram *r, ram_block_fn fn, void *arg, struct err *e);

/* Of [first, first + nr), in pages: how many are in memory or in swap; all, where the kernel does not tell. */
uint64_t ram_blocks_resident(const struct guest_ram *r, uint64_t first_page, uint64_t nr_pages);
