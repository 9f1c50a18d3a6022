/* bench/fanout/memory.h: what the VMs of a burst hold together, on every basis that there is. None is the truth: PSS leaves page
 * tables and page cache out, a cgroup charges what is shared to whoever touched it first, and MemAvailable is the whole
 * machine's.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  while page tables are walked (smaps_rollup), a millisecond or so for each process. */
#pragma once

#include "bench/fanout/cgroup.h"

struct burst_memory {
        bool     has_cgroup;
        uint64_t cgroup_bytes;
        /* sum over the processes; a template that they share stands in it once, with all that it holds, mapped or not */
        uint64_t pss_bytes;
        uint64_t template_bytes; /* memfds of theirs: a template's memory and its bits */
        int64_t  drop_bytes;     /* of MemAvailable since before */
};

/* Of every process below this one. */
void burst_memory_look(const struct burst_cgroup *c, uint64_t available_before_bytes, struct burst_memory *ret);

/* What the bench's own memfds are called: they are nobody's template. */
#define BURST_OWN_MEMFD "rouse-bench-said"
