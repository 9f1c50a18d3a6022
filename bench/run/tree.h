/* bench/run/tree.h: what a process and all that came of it hold, by /proc.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  briefly: tree_look with PSS walks the page tables of every process in it, and holds its mmap lock meanwhile. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tree_levels {
        size_t   nr;         /* processes */
        uint64_t rss_bytes;  /* sum over them; what they share counts for each */
        uint64_t pss_bytes;  /* what they share counts once; 0: was not asked for, or may not be known */
        uint64_t peak_bytes; /* sum of each one's highest RSS */
};

/* root, its children, theirs, and so on. Whoever asks for itself (getpid()) is not counted: as a subreaper (prctl(2)) it has all
 * that came of what it started below it, daemons too. A process that ends meanwhile is not counted. */
void tree_look(pid_t root, bool pss, struct tree_levels *ret);
/* The same processes without root; returns how many there are, stores the first max. */
size_t tree_list(pid_t root, pid_t *ret, size_t max);
