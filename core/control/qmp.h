/* core/control/qmp.h: a VM answers QMP on a unix socket, as StratoVirt 2.5.0 does: its replies, error classes and texts, its
 * events and their order (the reply first, then STOP or RESUME).
 * Owns:    the clients; borrows the listening socket.
 * Threads: session thread.
 * Blocks:  while a command is carried out; never on a client.
 *
 * Where it differs from StratoVirt, so that clients written for QEMU get along with it too:
 *   - Requests are found by their braces, not by packets (qmp_parser.h). Any JSON value is an `id`, and every reply has it.
 *   - Up to 8 clients at once, each with its replies in order, all with every event. StratoVirt serves one and lets the others wait; but
 *     `migrate` answers when all is written, and meanwhile somebody must be able to ask `query-migrate` and to say `migrate_cancel`.
 *   - While `migrate` runs, other clients are answered. Of the client that waits for it only `migrate_cancel` is heard ahead of its turn.
 *     `stop` and `cont` say then what is to be if it fails; a VM that was saved stays paused.
 *   - Requests are not throttled. A client that does not read its replies is dropped, a request of more than 64 KiB is an error.
 *   - system_powerdown and system_reset end the VM: a microVM has no ACPI button and reboots by ending.
 *   - x-rouse-snapshot {dir, format, then, replace, pack, pack-level} saves in rouse's formats; its reply has identity, times and bytes (commands.h). */
#pragma once

#include "core/session.h"

struct qmp_server;

/* Observes the session (session_observe). Clients are greeted when session_run serves them, or by qmp_server_serve. */
int  qmp_server_new(struct session *s, int listen_fd, struct qmp_server **ret, struct err *e);
void qmp_server_free(struct qmp_server *srv); /* accepts NULL; before session_free */

/* Answers who waits just now: before session_run, so that one who connected while the VM was made is answered before the guest
 * runs. */
void qmp_server_serve(struct qmp_server *srv);
