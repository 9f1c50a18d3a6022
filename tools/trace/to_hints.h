/* tools/trace/to_hints.h: first touches of guest pages as the hints of a snapshot.
 * Owns:    what is made belongs to the caller (hints_free).
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/model/hints.h"
#include "tools/trace/place.h"
#include "tools/trace/touches.h"

/* The identity of hints that are bound to no snapshot: `rouse hints show` takes them, a restore refuses them. */
#define UNBOUND "00000000-0000-0000-0000-000000000000"

struct to_hints_report {
        uint64_t outside;       /* touched pages that are not of the snapshot's RAM: firmware, frame buffers */
        uint64_t outside_gfn;   /* the first of them */
};

/* first_ns and serial_ns as in tracer_counts. A page that was ever seen written counts as one that differs (compare.h knows
 * better). */
int to_hints(const struct first_touches *t, const struct place *p, uint64_t first_ns, uint64_t serial_ns, struct hints *ret, struct to_hints_report *report,
             struct err *e);
