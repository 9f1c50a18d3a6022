/* core/control/server.h: a VM can be found by its name: a control socket in the runtime directory, served by the session thread.
 * Owns:    the socket, its lock file and the clients' descriptors.
 * Threads: session thread.
 * Blocks:  while a command is carried out (a snapshot: while it is written); never on a client.
 *
 * One JSON document a line, both ways:
 *   {"execute":"status"}                                            {"return":{"name":..,"pid":..,"state":"running|paused",...}}
 *   {"execute":"snapshot","arguments":{"dir":..,"then":"resume|pause|quit","replace":false}}    {"return":{"identity":..,...}}
 *   {"execute":"pause"} {"execute":"resume"} {"execute":"quit"}      {"return":{}}
 * An error: {"error":{"class":"GenericError","desc":"one line"}}. */
#pragma once

#include "core/session.h"

struct control_server;

/* NAME.sock and NAME.lock below runtime_dir (made with mode 0700). A name that is in use is -EADDRINUSE; names are 1 to 64 of
 * [A-Za-z0-9._-], not beginning with a dot. */
/* Takes the name: a descriptor that holds it until it is closed. Before the VM is made, as what a name stands for is its owner's
 * alone. */
int  control_name_take(const char *runtime_dir, const char *name, struct err *e);
/* Closes it, and its file is gone. */
void control_name_leave(const char *runtime_dir, const char *name, int fd);
/* Takes name_fd over, on failure too. */
int  control_server_new(struct session *s, const char *runtime_dir, const char *name, int name_fd, struct control_server **ret,
                        struct err *e);
void control_server_free(struct control_server *srv); /* accepts NULL; before session_free */
