/* tests/support/child.h: runs a program and keeps what it said.
 * Owns:    child_free gives back the output; the process is killed and reaped first if it still runs.
 * Threads: one at a time.
 * Blocks:  child_wait and child_wait_output up to their limits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct child {
        pid_t  pid; /* 0: reaped */
        int    out_fd, err_fd;
        int    status; /* exit status, or 128 + signal; valid when pid is 0 */
        char  *out, *err;
        size_t out_len, err_len;
};

/* argv[0] is the program, NULL at the end. Standard input is /dev/null. Fails the test when it cannot be started. */
struct child child_start(const char *const *argv);
/* Until it ends, or it is killed after timeout_ms (then the test fails). Returns its exit status. */
int child_wait(struct child *c, int timeout_ms);
/* Until standard output holds text; false when it ended first or timeout_ms passed. */
bool child_wait_output(struct child *c, const char *text, int timeout_ms);
void child_kill(struct child *c, int signal);
void child_free(struct child *c);

/* start, wait, and all that was said. */
struct child child_run(int timeout_ms, const char *const *argv);
#define RUN(timeout_ms, ...) child_run(timeout_ms, (const char *const[]){__VA_ARGS__, NULL})
#define START(...)           child_start((const char *const[]){__VA_ARGS__, NULL})

/* $ROUSE, or build/rouse. */
const char *rouse_program(void);
