/* bench/floors/floors.h: what this machine does with bare calls, measured in the same run as what stands on them, so that each
 * figure can be read as a ratio. One arm of bench_result.floors for each:
 *
 *   "fault: UFFDIO_COPY of 4 KiB"  p50, p99 us: from a touch to the touch done, answered by a loop of poll, one read, one UFFDIO_COPY of warm memory
 *   "UFFDIO_COPY of 2 MiB"         rate, bytes/s: the same call in batches
 *   "memcpy"                       rate, bytes/s: of memory that is there
 *   "O_DIRECT read"                rate, bytes/s: of a given file, in order, 2 MiB each, two under way
 *
 * Owns:    its memory and the file's descriptor; floors_close gives them back. The result is the caller's.
 * Threads: one; the fault loop has its own while it is measured.
 * Blocks:  some 100 ms a round, and on the file. */
#pragma once

#include "bench/model/result.h"
#include "core/base/err.h"

#include <stdint.h>

struct floors;

struct floors_config {
        uint64_t    bytes; /* that are moved by each floor, in a round; 0: 64 MiB, more than fits in a cache */
        const char *file;  /* to be read with O_DIRECT; NULL: that floor is left out */
        uint64_t    seed;
};

/* 0; or -errno and *e: the file cannot be opened. */
int floors_open(const struct floors_config *c, struct floors **ret, struct err *e);
/* Each floor once, in an order of chance: one value for the round. What this host cannot do is told in the arm (failure). The
 * machine is warmed up before the first round. */
void floors_round(struct floors *f, struct bench_result *r, uint32_t round);
void floors_close(struct floors *f); /* accepts NULL */
