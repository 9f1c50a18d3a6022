/* kvm/device/vsock_host.h: the host's side of a vsock, as Firecracker has it: unix sockets at a path and at path_PORT.
 * Owns:    a listener owns its socket and the file at its path.
 * Threads: one at a time.
 * Blocks:  never; every descriptor is non-blocking.
 *
 *   host client ─► path         "CONNECT 52\n" ─► guest port 52;   "OK 1073741824\n" once the guest took it, else the end
 *   guest, port P of CID 2 ─► path_P, where some host program listens */
#pragma once

#include "core/base/err.h"

#include <stddef.h>

struct vsock_listener;

/* A file that is left over (a socket where nobody listens) is replaced; anything else at path is an error. */
int  vsock_listen(const char *path, struct vsock_listener **ret, struct err *e);
void vsock_listener_free(struct vsock_listener *l); /* removes the file if it still is ours; accepts NULL */
int  vsock_listener_fd(const struct vsock_listener *l);
int  vsock_listener_accept(const struct vsock_listener *l); /* a descriptor, or -EAGAIN, -EMFILE, ... */

/* The first line of a client, as much of it as is there. */
struct vsock_line {
        char   text[32];
        size_t len;
};

/* Reads on; takes nothing that follows the line. 1 and the guest's port, 0 the line is not whole yet, -errno: no such command, or
 * the client left (-ECONNRESET). */
int vsock_client_command(int fd, struct vsock_line *line, uint32_t *ret_guest_port);
int vsock_client_ok(int fd, uint32_t host_port);

/* To the program that listens at path_PORT: a descriptor, or -errno. */
int vsock_host_connect(const char *path, uint32_t port);
