/* core/shared_restore.h: guest RAM that is mapped from a template.
 * Owns:    session.template and session.ram.
 * Threads: session thread.
 * Blocks:  as template_find. */
#pragma once

#include "core/session_internal.h"

/* Plan stage of RESTORE_SHARED: finds the template, checks the plan against the limits, and maps what is served from the
 * template, the rest anonymous (or huge pages of its own). */
int session_map_shared(struct session *s, const struct restore_options *o, const struct plan_limits *limits, struct err *e);
