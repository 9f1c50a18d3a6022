/* bench/fanout/burst.h: many clones of one snapshot, started at once or at a steady rate, each watched at its serial port.
 * Owns:    nothing after burst_run: every process of it has ended and is reaped.
 * Threads: the caller's, which starts the clones, and one that reads their serial ports, so that no stamp waits for a spawn. One
 *          burst at a time.
 * Blocks:  until all have answered or failed, and the time to settle has passed.
 *
 * A clone is a command line: today's is `rouse restore`; whoever has another way to make clones gives another one. */
#pragma once

#include "bench/fanout/memory.h"
#include "bench/run/guest_run.h"
#include "core/base/err.h"

#define BURST_CLONES_MAX 1024

struct burst_request {
        const char *const   *argv;     /* of each clone, NULL at the end; it prints the guest's serial port on standard output */
        const char          *mark;     /* what a line must match to be the answer; NULL: the first byte is */
        unsigned             starts;   /* clones in all */
        unsigned             alive;    /* at once: the oldest is ended to make room; starts, where none is */
        uint64_t             every_ns; /* between two starts; 0: all at once */
        uint64_t             timeout_ns; /* of each clone, from when it was due */
        uint64_t             settle_ns;  /* from the last answer to the look at the memory */
        const struct burst_cgroup *cgroup;
        struct guest_stop   *stop;
};

struct burst_result {
        unsigned            succeeded;
        double             *answer_us; /* of each clone that answered, from when it was due; the caller frees it */
        double             *first_us;  /* its first byte */
        uint64_t            whole_ns;  /* from the first start (due) to the last answer of those that answered */
        char                failure[600]; /* of the first clone that failed; "" */
        struct burst_memory memory;    /* all clones that are alive, after the time to settle */
};

/* 0, also when clones failed: then they are counted. -ECANCELED: Ctrl-C. */
int burst_run(const struct burst_request *q, struct burst_result *ret, struct err *e);
void burst_result_free(struct burst_result *r);

/* The calling thread gets real-time priority, or its ordinary one back; false: not allowed. A burst does it by itself, where it
 * may. */
bool burst_at_once(bool at_once);
