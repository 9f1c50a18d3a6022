/* bench/floors/rig.h: a memory file, a RAM and a pager between them: what restores stand on, without a VM.
 * Owns:    all of it; rig_close gives it back. What fails ends the program with a line.
 * Threads: one; the pager has its own.
 * Blocks:  on the file system. */
#pragma once

#include "core/base/units.h"
#include "core/model/host_caps.h"
#include "core/model/page_map.h"
#include "uffd/pager.h"

struct rig {
        uint64_t            nr_pages;
        int                 fd;   /* the memory file, unlinked */
        uint8_t            *warm; /* its bytes in memory that is there */
        uint8_t            *ram;  /* anew for each run: rig_new_ram */
        struct host_caps    caps;
        struct page_map     map; /* rig_map_whole, or the caller's own runs */
        struct pager_range  all, *served; /* served: of rig_open_map */
        struct pager_config config; /* the whole of RAM, verify off, nothing prefetched */
        struct pager       *pager;
};

/* dir: where the file is made; its pages are told apart and none is zero. */
void rig_open(struct rig *r, const char *dir, uint64_t nr_pages);
void rig_close(struct rig *r);

/* Over somebody else's map, which stays his; what it has data for is served. */
void rig_open_map(struct rig *r, const struct page_map *map);

/* All of RAM is one raw run. */
void rig_map_whole(struct rig *r);
/* Runs of run_pages each, one after another in RAM, in the file in an order of chance. */
void rig_map_scattered_file(struct rig *r, uint64_t run_pages, uint64_t seed);
/* Runs of run_pages, each followed by as many zero pages. */
void rig_map_scattered_ram(struct rig *r, uint64_t run_pages);

/* A RAM that nobody has touched, aligned for huge pages and with none; the one before is given back. */
void rig_new_ram(struct rig *r);
/* A pager by r->config over ram, the caller's (NULL: a new one of its own): made, and armed. *ret_arm_ns: from the call of
 * pager_arm on. 0, or -errno and *e: this host has no userfaultfd for us. */
int  rig_start(struct rig *r, uint8_t *ram, uint64_t *ret_arm_ns, struct err *e);
void rig_stop(struct rig *r); /* checks, by a sample, that RAM is the file's */

/* Into the page cache. */
void     rig_warm(const struct rig *r);
/* Out of it, proved by mincore: how many pages would not go. */
uint64_t rig_evict(const struct rig *r);
