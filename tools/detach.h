/* tools/detach.h: a VM that outlives the command that started it, and a command that knows how the start went.
 * Owns:    a pipe between the two.
 * Threads: main thread; detach_begin before there are others.
 * Blocks:  detach_begin, in the process that was called, until the other one stands on its own or has failed. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>

struct detached {
        int ready_fd; /* -1: in the foreground */
};

/* Goes on in a new process, in a session of its own; errors still go to the caller's standard error. True in the new process. False in the
 * one that was called: *ret_status is what to exit with. */
bool detach_begin(struct detached *d, int *ret_status);
/* From here on messages go to log_path (appended), and the caller's command ends with 0. Does nothing in the foreground. */
int  detach_finish(struct detached *d, const char *log_path, struct err *e);
