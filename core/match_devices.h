/* core/match_devices.h: which of the user's backends stands behind which virtio device of a snapshot.
 * Owns:    nothing.
 * Threads: session thread.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"
#include "core/model/device_config.h"
#include "core/model/vm_state.h"

/* Gives every device of *vm that lacks a slot the one that the user named for its kind, and every configuration the slot of its
 * device:
 * *vm and configs[nr] are changed. A device that the guest uses and that cannot go on without a backend, and a backend without a
 * device:
 * ERR_SNAPSHOT, naming slot, capacity or MAC, and the option. What the user should know and nothing stops for is told by note. */
int match_devices(struct vm_state *vm, struct device_config *configs, size_t nr, void (*note)(void *arg, const char *text),
                  void *arg, struct err *e);
