/* bench/model/timeline.h: reads what `rouse restore --timeline` wrote into an arm.
 * Owns:    nothing; what it adds is the arm's.
 * Threads: one.
 * Blocks:  on the file. */
#pragma once

#include "bench/model/result.h"

/* The arm's faults become those of the file; no_timeline says why there are none, or not all. 0, -errno, or -EBADMSG where it is
 * no timeline (where, and what was expected: *ret_text, to be freed; also with -errno). */
int bench_timeline_read(const char *path, struct bench_arm *arm, char **ret_text);
