/* formats/chain.h: finds a snapshot's parents and makes one page map of all of them.
 * Owns:    nothing.
 * Threads: any, one at a time.
 * Blocks:  on the file system.
 *
 *   where a parent is looked for, in this order; what is found there must have the identity that the child knows
 *     1. the directories of snapshot_open_options.bases
 *     2. the path relative to the child, 3. the absolute path: as they were when the child was written
 *
 * A path out of a snapshot is its writer's choice. Who opens somebody else's snapshot must not be led to a third one's memory by
 * it:
 * unless the child is the caller's own, what 2. and 3. lead to must have the child's owner. */
#pragma once

#include "formats/format.h"

/* Deeper chains are refused: each level is a descriptor, and a convert away from being shorter. */
#define CHAIN_LEVELS_MAX 256

/* *s as snapshot_open_level left it: afterwards s->pages is flat, and s->levels says of what. */
int chain_put_together(struct snapshot *s, const struct snapshot_open_options *o, struct err *e);
