/* core/plan_snapshot.h: from a snapshot that is open, and what the user asked for, to the plan and the limits that it must keep.
 * Owns:    nothing; the plan belongs to the caller.
 * Threads: session thread.
 * Blocks:  on the file system: hints, page cache, /proc.  */
#pragma once

#include "core/plan.h"
#include "formats/format.h"

/* The plan for o on a host with these caps. Hints that are there but belong to something else stop it only when the user named
 * them; else a note of the snapshot says so. Limits are probed, not checked: plan_check. */
int plan_snapshot(struct snapshot *s, const struct restore_options *o, const struct host_caps *caps, struct plan *ret,
                  struct plan_limits *ret_limits, struct err *e);
