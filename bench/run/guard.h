/* bench/run/guard.h: who clears up after a bench that kill -9 or the OOM killer ended: a process that waits for the bench's end,
 * then ends all that the bench has started, however deep and however detached, and removes what it left in the file system.
 * Owns:    the process, and our end of the socket to it, until guard_dismiss.
 * Threads: one, before there are others and before much memory is in use: it is a fork.
 * Blocks:  until the process stands.
 *
 * What the bench starts is told by its environment, which children inherit through every fork, session and daemon: GUARD_ENV is
 * set to the scratch directory. The guard is no child of the bench, so that no count or kill of the bench's process tree meets it. */
#pragma once

#include "core/base/err.h"

#define GUARD_ENV "ROUSE_BENCH"

struct guard {
        int fd; /* the bench's end: that it is closed is the message. 0: nobody guards */
};

/* Sets GUARD_ENV for all that is started from now on. The guard keeps lock_fd open for as long as it stands. */
int guard_start(struct guard *g, const char *scratch, int lock_fd, struct err *e);
/* A directory elsewhere that goes too, once it is empty: a cgroup. */
void guard_add(const struct guard *g, const char *dir);
/* All is cleared up already. Accepts a zeroed one. */
void guard_dismiss(struct guard *g);
