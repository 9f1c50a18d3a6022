/* bench/run/peer_process.h: the programs of a peer file beside the VMM itself: what is run and waited for, and helpers that go
 * on.
 * Owns:    a command line its strings, until peer_command_free.
 * Threads: one.
 * Blocks:  peer_command_run until the program has ended; peer_helper_ready until it is ready; peer_end_all until nothing is
 *          left. */
#pragma once

#include "bench/run/guest_run.h"
#include "bench/run/peer_file.h"

struct peer_command {
        char **argv; /* NULL at the end */
        char **env;
};

/* env is the peer's; an argv[0] with a slash in it is below the file's directory. */
int  peer_command_expand(const struct peer *p, const struct peer_vars *vars, struct json_object *argv, struct peer_command *ret,
                         struct err *e);
void peer_command_free(struct peer_command *c);
/* -ENOENT and *e: there is no such program (in $PATH, where it has no slash). */
int  peer_command_find(const struct peer_command *c, struct err *e);

/* Runs it to its end. Any exit status but 0 is a failure, told with the last line that it said. */
int  peer_command_run(const struct peer_command *c, struct guest_stop *stop, uint64_t timeout_ns, struct err *e);

/* Starts it; what it says goes to *ret_said_fd, which the caller closes. */
int  peer_helper_start(const struct peer_command *c, pid_t *ret_pid, int *ret_said_fd, struct err *e);
/* Until a file is at path (a socket: until somebody listens at it). */
int  peer_helper_ready(const struct peer_command *c, pid_t pid, int said_fd, const char *path, struct guest_stop *stop,
                       uint64_t timeout_ns, struct err *e);

/* SIGTERM, then SIGKILL, to every process below this one; all are reaped. */
void peer_end_all(void);
