/* core/control/commands.h: what a control client may ask of a VM.
 * Owns:    nothing; the answer belongs to the caller (json_object_put).
 * Threads: session thread.
 * Blocks:  as long as the command takes. */
#pragma once

#include "core/session.h"

struct json_object;

/* Never NULL: {"return":...} or {"error":...}. */
struct json_object *control_execute(struct session *s, const char *request);
