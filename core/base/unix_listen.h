/* core/base/unix_listen.h: a unix socket at a path of the user's choice.
 * Owns:    nothing; the descriptor and the file at the path are the caller's to close and to unlink.
 * Threads: any; not while another thread makes files, as the umask is the process's.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"

/* A listening stream socket (CLOEXEC, not blocking) at path, for its owner only. A socket file that nobody listens at any more is
 * replaced; one that somebody does is -EADDRINUSE, and a file of another kind is -EEXIST. Returns the descriptor. */
int unix_listen(const char *path, int backlog, struct err *e);
