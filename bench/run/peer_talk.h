/* bench/run/peer_talk.h: what is said to a peer over its socket, and what must come back: HTTP/1.1, or QMP.
 * Owns:    the requests, ready as bytes before T0; peer_talk_free.
 * Threads: one.
 * Blocks:  peer_talk_run until the last answer, or the run's limits. */
#pragma once

#include "bench/run/guest_run.h"
#include "bench/run/peer_file.h"

struct peer_talk {
        const struct peer *peer;
        char              *path; /* of the socket; NULL: there is nothing to say */
        struct {
                char  *bytes;
                size_t len;
        } requests[PEER_STEPS_MAX];
};

int  peer_talk_prepare(struct peer_talk *t, const struct peer *p, const struct peer_vars *vars, struct err *e);
/* GUEST_OTHER: all was said and answered as it must be; else what ended the wait (GUEST_DONE: the guest was faster than the last
 * answers); a negative errno and *e: an answer was not as it must be. */
int  peer_talk_run(struct peer_talk *t, struct guest_run *g, struct err *e);
void peer_talk_free(struct peer_talk *t);
