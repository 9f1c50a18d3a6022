/* core/control/commands.h: what a control client may ask of a VM.
 * Owns:    nothing; the answer belongs to the caller (json_object_put).
 * Threads: session thread.
 * Blocks:  as long as the command takes. */
#pragma once

#include "core/session.h"

struct json_object;

/* Never NULL: {"return":...} or {"error":...}. */
struct json_object *control_execute(struct session *s, const char *request);

/* "snapshot" of control_execute and of QMP's x-rouse-snapshot: args {dir, format, then, replace, pack, pack-level} into *o, which
 * the caller has given its `cancelled`; fills ret with {identity, pause_us, total_us, data_bytes, zero_bytes, stored_bytes}. */
int control_snapshot(struct session *s, struct json_object *args, struct save_options *o, struct json_object *ret, struct err *e);
