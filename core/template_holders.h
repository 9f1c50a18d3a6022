/* core/template_holders.h: which processes have the memory of a template.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never; it reads /proc, some ms where there are thousands of processes. */
#pragma once

#include <stddef.h>

/* Processes, but for this one, that have the file of memory_fd (a memfd) open, as far as this user may know; the first `max` of
 * them in pids. Returns how many there are. */
size_t template_holders(int memory_fd, int *pids, size_t max);
