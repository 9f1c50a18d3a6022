/* bench/run/peer_connect.h: to a unix socket that a VMM is about to listen at.
 * Owns:    nothing; the descriptor is the caller's.
 * Threads: one.
 * Blocks:  until it listens, or the run's limits. */
#pragma once

#include "bench/run/guest_run.h"

/* Connected as soon as somebody listens: the directory's own news wake us, so that no time between two looks is charged to the
 * VMM. GUEST_OTHER and *ret_fd (not blocking); or the event that ended the wait; or a negative errno and *e. */
int peer_connect(struct guest_run *g, const char *path, int *ret_fd, struct err *e);
