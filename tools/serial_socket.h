/* tools/serial_socket.h: the guest's serial port as a unix socket: one client at a time, the next one waits.
 * Owns:    the socket and its file, the client's descriptor.
 * Threads: session thread.
 * Blocks:  never: a client that does not read loses the oldest output, not the guest its time. */
#pragma once

#include "core/session.h"

struct serial_socket;

/* Listens at path; before the session is made, which must be with serial_lossy. */
int  serial_socket_new(const char *path, struct serial_socket **ret, struct err *e);
/* From here on clients are served, inside session_run. */
int  serial_socket_serve(struct serial_socket *ss, struct session *s, struct err *e);
void serial_socket_free(struct serial_socket *ss); /* before session_free; accepts NULL */
