/* core/control/peer.h: a running VM that one holds on to: asked within a time, waited for until it has ended, killed.
 * Owns:    a connection to its control socket and a descriptor of its process.
 * Threads: one at a time.
 * Blocks:  as long as the caller allows. */
#pragma once

#include "core/base/err.h"

#include <sys/types.h>

struct json_object;
struct peer;

/* No VM of that name: -ENOENT. */
int   peer_connect(const char *runtime_dir, const char *name, struct peer **ret, struct err *e);
pid_t peer_pid(const struct peer *p);
/* Sends request (borrowed) and returns what stands behind "return" (json_object_put frees it). An error reply becomes *e. No
 * answer by until_ns of now_ns() (0: it may take for ever): -ETIMEDOUT; then only waiting and killing are left. */
int   peer_ask(struct peer *p, struct json_object *request, uint64_t until_ns, struct json_object **ret_reply, struct err *e);
/* Until its process is gone: 0 or -ETIMEDOUT. */
int   peer_wait_end(struct peer *p, uint64_t until_ns, struct err *e);
int   peer_kill(struct peer *p, struct err *e);
void  peer_free(struct peer *p); /* accepts NULL */
