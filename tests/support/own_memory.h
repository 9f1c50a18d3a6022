/* tests/support/own_memory.h: anonymous memory of this process beside a guest's RAM.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Sum of "Anonymous" of /proc/self/smaps over all mappings outside of [ram, +ram_bytes). */
uint64_t own_memory_bytes(const void *ram, size_t ram_bytes);

/* What rouse may take for a VM of so many pages in so many runs (issue 5). */
uint64_t own_memory_budget(uint64_t nr_pages, size_t nr_runs);
