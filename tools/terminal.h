/* tools/terminal.h: the terminal as the guest's keyboard: raw, with Ctrl-A x to leave.
 * Owns:    the terminal's mode, from terminal_new to terminal_free.
 * Threads: session thread.
 * Blocks:  never. */
#pragma once

#include "core/session.h"

struct terminal;

/* Does nothing (*ret NULL) when standard input is no terminal, or one that this process is in the background of. */
int  terminal_new(struct session *s, struct terminal **ret, struct err *e);
void terminal_free(struct terminal *t); /* accepts NULL */
