/* kvm/virtio/mmio.h: the virtio-mmio transport, version 2 (virtio 1.2, section 4.2): registers, doorbells, an interrupt line.
 * Owns:    the doorbells' eventfds; borrows the device and the wires.
 * Threads: registers from vCPU threads, under a lock of its own; interrupts from any thread; the rest from the session thread.
 * Blocks:  a register write that resets the device, until its worker has ended.
 *
 * What StratoVirt's transport does and the specification leaves open is done its way where guests may have come to rely on it
 * (reference/stratovirt.md 2.5): vendor 0, a shared memory region of length -1, InterruptACK only after DRIVER_OK. */
#pragma once

#include "kvm/bus.h"
#include "kvm/virtio/device.h"

#define VIRTIO_MMIO_BYTES 0x200

/* What the machine gives: a line and a way to hear of doorbells without an exit to user space. */
struct virtio_wires {
        void *arg;
        /* Pulses the interrupt line (edge). Any thread. */
        void (*interrupt)(void *arg);
        /* From now on a write of `queue` to QueueNotify writes fd instead of reaching the bus, for as long as the machine
         * lives. 0 or -errno; a transport whose doorbells cannot be connected hears of kicks on the bus all the same. Worker
         * thread: on older kernels it waits for a grace period. */
        int (*doorbell)(void *arg, uint16_t queue, int fd);
};

struct virtio_mmio;

/* d and what wires->arg points at are borrowed until virtio_mmio_free. Connects no doorbell yet. */
int  virtio_mmio_new(struct virtio_device *d, const struct virtio_wires *wires, struct virtio_mmio **ret, struct err *e);
void virtio_mmio_free(struct virtio_mmio *t); /* resets the device first, but does not free it; accepts NULL */

extern const struct bus_ops virtio_mmio_ops; /* arg: struct virtio_mmio */

/* Session thread, no vCPU runs. load: registers, queues, and, where the guest had activated it, the device, its worker parked;
 * an interrupt that was raised and not acknowledged is raised once more by virtio_mmio_reinject. Bad values: ERR_SNAPSHOT,
 * slot and field named. */
int  virtio_mmio_load(struct virtio_mmio *t, const struct virtio_state *s, struct err *e);
void virtio_mmio_reinject(struct virtio_mmio *t); /* after the interrupt controllers were loaded */
int  virtio_mmio_save(struct virtio_mmio *t, struct virtio_state *ret, struct err *e); /* worker parked */
