/* formats/part.h: opens the files of a snapshot: regular ones inside its directory, and nothing else.
 * Owns:    nothing; the descriptor belongs to the caller.
 * Threads: any.
 * Blocks:  on the file system, never on a FIFO or a device that somebody put there. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct part {
        int      fd;
        uint64_t size_bytes;
};

void part_close(struct part *p); /* fd -1: nothing */

/* Read-only, below dir_fd. -ENOENT without a text when there is none: the caller knows whether that matters. A link that leads
 * out, a directory, a FIFO: -EBADMSG. */
int part_open(int dir_fd, const char *name, struct part *ret, struct err *e);

/* The same where the file must be there. */
int part_open_needed(int dir_fd, const char *name, struct part *ret, struct err *e);

/* Any path of the user's own, links and all. -ENOENT without a text. */
int part_open_path(const char *path, struct part *ret, struct err *e);

/* Exactly len bytes; fewer: -EBADMSG. `what` names them. */
int part_read(const struct part *p, const char *name, const char *what, uint64_t offset_bytes, void *buf, uint64_t len,
              struct err *e);
