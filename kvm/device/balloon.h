/* kvm/device/balloon.h: what the host may ask of a balloon.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "kvm/virtio/device.h"

/* Pages of 4 KiB that the guest is to give; it does as it likes, and balloon_actual says what it gave. */
void     balloon_set_target(struct virtio_device *d, uint32_t pages);
uint32_t balloon_actual(struct virtio_device *d);
