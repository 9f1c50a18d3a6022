/* formats/microvm_windows.h: the guest physical windows that a microVM's RAM of a given size has, and no others.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/model/mem_layout.h"

#define MICROVM_RAM_MIN_BYTES MIB
#define MICROVM_RAM_MAX_BYTES (512 * GIB)
#define MICROVM_LOW_END       (3 * GIB) /* above it: virtio-mmio, IOAPIC, LAPIC */
#define MICROVM_HIGH_BEGIN    (4 * GIB)

/* [0, 3 GiB), then from 4 GiB on. A size that is no whole number of pages or out of bounds: -EBADMSG, naming file and offset. */
int microvm_windows(const char *file, uint64_t offset_bytes, uint64_t total_bytes, struct mem_layout *ret, struct err *e);
