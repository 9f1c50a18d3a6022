/* kvm/slots.h: the virtio-mmio slots of a machine: which device is in which, and its wires to KVM.
 * Owns:    devices, transports and their eventfds.
 * Threads: session thread; the wires are used by any thread.
 * Blocks:  slots_park until no device has anything in flight. */
#pragma once

#include "kvm/bus.h"
#include "kvm/machine/machine.h"
#include "kvm/virtio/mmio.h"
#include "kvm/vm.h"

#define SLOTS_MAX 11

struct slot {
        struct slots         *slots;
        uint32_t              nr;
        struct virtio_device *device;    /* NULL: the slot is empty */
        struct virtio_mmio   *transport; /* owned; NULL until the device has one */
        _Atomic int           irq_fd;    /* an irqfd of KVM's from the first activation on; -1 before */
};

struct slots {
        int                   vm_fd;
        const struct machine *machine;
        struct virtio_env     env;
        struct slot           v[SLOTS_MAX];
};

/* Fills *s (zeroed) and puts every device on the bus. layout is borrowed. On failure slots_free is still due. */
int  slots_make(struct slots *s, const struct vm_config *c, const struct mem_layout *layout, int vm_fd, struct bus *bus,
                struct err *e);
void slots_free(struct slots *s); /* accepts a zeroed one */

/* Takes the records of *st; then, the interrupt controllers being loaded, raises what was raised and not acknowledged. */
int slots_load(struct slots *s, const struct vm_state *st, struct err *e);
/* Adds a record for each slot that has a device, in order. Parked. */
int slots_save(struct slots *s, struct vm_state *ret, struct err *e);

/* What was raised and not acknowledged, once more: it is in the interrupt controllers when this returns. Parked. */
void slots_reinject(struct slots *s);
/* What the guest has written outside its memory lasts. Blocks as long as the disks do. */
int slots_sync(const struct slots *s, struct err *e);

/* Every device at rest: all are asked first and waited for then. Blocks until requests that are under way have ended. */
void slots_park(struct slots *s);
void slots_resume(struct slots *s);

uint32_t              slots_mask(const struct slots *s);
struct virtio_device *slots_find(const struct slots *s, enum virtio_kind kind); /* the first one, or NULL */
