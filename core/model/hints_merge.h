/* core/model/hints_merge.h: many recordings of one snapshot into one list of hints.
 * Owns:    nothing; what is made belongs to the caller (hints_free).
 * Threads: any.
 * Blocks:  never.
 *
 *   recording 1   A 10us   B 20us   X 30us          A  seen 3  12us
 *   recording 2   B  9us   A 12us   C 40us    ──►   B  seen 3  20us
 *   recording 3   A 15us   B 22us   C 50us          C  seen 2  40us
 *                                                   X  seen 1  30us: min_seen 2 leaves it out */
#pragma once

#include "core/model/hints.h"

struct hints_named {
        const char  *file; /* how messages call it */
        struct hints hints;
};

/* A page's first touch is the median of those of the recordings that saw it: one that was observed, the earlier of the middle two
 * where their number is even; its phase is that observation's. Pages stand phase by phase in the order of that time, and where
 * times are equal in that of its place in its recording. A flag is set where at least half of those recordings have it: to copy a
 * page that is only read costs less than to share one that is written.
 *
 * All must be recordings of one run each, of one snapshot and one size of RAM, and either all or none must know times (version 1
 * of the file did not): else -EBADMSG, naming the file, or both and their identities. */
int hints_merge(const struct hints_named *in, size_t nr, uint32_t min_seen, struct hints *ret, struct err *e);

/* Do two files speak of the same snapshot? -EBADMSG, naming both and what they say. */
int hints_same_snapshot(const struct hints_named *a, const struct hints_named *b, struct err *e);
