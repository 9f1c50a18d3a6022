/* core/control/client.h: asks a running VM by its name, or by the path of its QMP socket.
 * Owns:    nothing; the reply belongs to the caller.
 * Threads: any.
 * Blocks:  until the VM has answered. */
#pragma once

#include "core/base/err.h"

struct json_object;
struct sockaddr_un;

/* Sends request (borrowed) and returns what stands behind "return" (json_object_put frees it). An error reply becomes *e. No VM
 * of that name: -ENOENT. */
int control_ask(const char *runtime_dir, const char *name, struct json_object *request, struct json_object **ret_reply,
                struct err *e);

/* The same at a QMP socket: its greeting and events are passed over. */
int qmp_ask(const char *path, struct json_object *request, struct json_object **ret_reply, struct err *e);

/* The parts of it, for who keeps a connection. whom, for messages: "named 'web'". */
int control_connect(const struct sockaddr_un *a, const char *whom, struct err *e); /* a descriptor; nobody there: -ENOENT */
int control_send(int fd, struct json_object *request, struct err *e);
int control_take_reply(struct json_object *reply, struct json_object **ret, struct err *e);
