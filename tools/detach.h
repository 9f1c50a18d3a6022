/* tools/detach.h: a VM that outlives the command that started it, and a command that knows how the start went.
 * Owns:    a pipe between the two.
 * Threads: main thread; detach_begin before there are others.
 * Blocks:  detach_begin, in the process that was called, until the other one stands on its own or has failed. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>

struct detached {
        int ready_fd; /* -1: in the foreground */
        int log_fd;   /* -1 before detach_open_log */
};

/* Goes on in a new process, in a session of its own; errors still go to the caller's standard error. True in the new process.
 * False in the one that was called: *ret_status is what to exit with. */
bool detach_begin(struct detached *d, int *ret_status);
/* What may fail is done first: opens log_path, to be appended to. Does nothing in the foreground, as does detach_finish. */
int  detach_open_log(struct detached *d, const char *log_path, struct err *e);
/* From here on messages go to the log, and the caller's command ends with 0. */
int  detach_finish(struct detached *d, struct err *e);
