/* tests/support/edit_native.h: a native snapshot with another state, and every checksum right.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  on the file system.
 *
 * Links with formats: for end-to-end tests, and unit tests of layers that may use it. */
#pragma once

#include "core/model/vm_state.h"

/* Copies the snapshot at `from` to the new directory `to`, with its state as edit leaves it. */
void edit_native(const char *from, const char *to, void (*edit)(struct vm_state *vm, void *arg), void *arg);
