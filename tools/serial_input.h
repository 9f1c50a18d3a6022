/* tools/serial_input.h: what somebody types waits here while the guest's serial port does not take it yet.
 * Owns:    its buffer and a timer.
 * Threads: session thread.
 * Blocks:  never. */
#pragma once

#include "core/session.h"

#include <stddef.h>
#include <stdint.h>

struct serial_input;

/* emptied (may be NULL) is called when what waited has been taken. */
int    serial_input_new(struct session *s, void (*emptied)(void *arg), void *arg, struct serial_input **ret, struct err *e);
/* How many bytes it can keep now. */
size_t serial_input_room(const struct serial_input *in);
/* Offers the bytes to the guest; what it does not take waits, and what there is no room for is dropped. */
void   serial_input_put(struct serial_input *in, const uint8_t *bytes, size_t len);
void   serial_input_free(struct serial_input *in); /* accepts NULL */
