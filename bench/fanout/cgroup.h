/* bench/fanout/cgroup.h: a cgroup of the bench's own, so that the kernel itself says what the VMs in it hold: page tables, page
 * cache and shared memory that they were the first to touch, too. Version 1 (the memory controller's hierarchy) or 2.
 * Owns:    the cgroup; burst_cgroup_remove.
 * Threads: one.
 * Blocks:  never. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct burst_cgroup {
        int  version;         /* 1, 2; 0: there is none */
        char path[PATH_MAX];
        char why[PATH_MAX + 160];  /* there is none */
        int  procs_fd;        /* "0" written to it: whoever writes is in it from then on; -1 */
};

/* Where none can be made, why says so. */
void burst_cgroup_make(struct burst_cgroup *c);
/* What all in it hold now; false: not known. */
bool burst_cgroup_memory(const struct burst_cgroup *c, uint64_t *ret_bytes);
/* What may still be allocated by us: the least of MemAvailable and what the cgroups above us leave. */
uint64_t burst_memory_left(void);
uint64_t burst_memory_available(void); /* MemAvailable */
void burst_cgroup_remove(struct burst_cgroup *c); /* when nobody is in it any more */
