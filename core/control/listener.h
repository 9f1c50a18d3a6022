/* core/control/listener.h: a unix socket at a path that the user names, bound before there is a VM so that a bad path costs none.
 * Owns:    the descriptor, and the name in the file system as long as it is this socket's.
 * Threads: one at a time.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct listener {
        int                fd;
        struct sockaddr_un address;
        dev_t              dev; /* which socket the name led to when it was bound */
        ino_t              ino;
};

/* Binds and listens. What is there already: a socket nobody listens at is replaced, a live one is -EADDRINUSE, anything else -EEXIST. */
int  listener_open(const char *path, struct listener *ret, struct err *e);
void listener_close(struct listener *l); /* removes the name, too; accepts one with fd -1 */
