/* kvm/device/tap.h: the host's end of a network card's cable: a tap interface, frames with a 12-byte virtio header before each.
 * Owns:    nothing; the descriptor belongs to the caller.
 * Threads: any, one at a time.
 * Blocks:  tap_open as the kernel makes an interface; the descriptor itself never does. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Attaches to the tap interface of that name, in the network namespace of the caller; who may make interfaces gets one made (down
 * and connected to nothing, *ret_made true). Non-blocking, no offloads. */
int tap_open(const char *name, int *ret_fd, bool *ret_made, struct err *e);

/* May frames of any UDP length be handed over (UFO)? Changes the offloads. */
bool tap_takes_ufo(int fd);

/* From now on the tap hands out what these virtio-net features (GUEST_CSUM, GUEST_TSO4, ...) allow it to leave to the receiver.
 * 0 or -errno. What waits already stays as it is. */
int tap_set_offloads(int fd, uint64_t features);

/* Throws away what is waiting. */
void tap_discard(int fd);
