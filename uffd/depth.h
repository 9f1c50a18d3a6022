/* uffd/depth.h: how many reads a device answers best at once: found by doubling, as long as that pays.
 * Owns:    nothing.
 * Threads: one at a time.
 * Blocks:  never.
 *
 * A window is as many pages as it takes for every read in flight to have been answered once, while the queue was kept full. Where
 * a window at twice the depth was faster by an eighth, the depth is doubled again; where it was not, it goes back, since all that
 * depth brings then is that whoever waits stands behind it. Asked anew every DEPTH_AGAIN windows: devices and their neighbours
 * change. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Measured on the host of restore-costs.md, 1432 scattered extents of 1 to 30 pages, O_DIRECT, ms for all: depth 32: 16.5; 64:
 * 14.7; 128: 11.4; 256: 11.4. */
#define DEPTH_START 32
#define DEPTH_MIN   8
#define DEPTH_MAX   128
#define DEPTH_AGAIN 32

struct depth {
        uint32_t now;
        uint32_t nr_reads, nr_pages; /* of the window */
        uint32_t nr_windows;         /* since the depth was settled */
        bool     probing;            /* the depth was doubled for this window */
        uint64_t begin_ns;
        uint64_t best; /* ns for 1024 pages, at the depth before; 0: not known */
};

void depth_init(struct depth *d);
/* A read of nr_pages was answered; so many were under way before that. */
void depth_answered(struct depth *d, uint32_t nr_pages, size_t nr_flying, uint64_t now_ns);
