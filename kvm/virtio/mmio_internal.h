/* kvm/virtio/mmio_internal.h: the transport's body, shared by its registers and its saved form.
 * Owns:    see kvm/virtio/mmio.h.
 * Threads: per group, below.
 * Blocks:  - */
#pragma once

#include "kvm/virtio/mmio.h"

/* Device status, virtio 1.2, section 2.1. */
#define STATUS_FEATURES_OK 8u
#define STATUS_DRIVER_OK   4u
#define STATUS_NEEDS_RESET 64u

/* InterruptStatus, section 4.2.2. */
#define INTERRUPT_QUEUE  1u
#define INTERRUPT_CONFIG 2u

struct virtio_mmio {
        /* set when it is made, then read-only */
        struct virtio_device *d;
        struct virtio_wires   wires;
        /* under lock */
        pthread_mutex_t lock;
        uint32_t        device_features_sel, driver_features_sel, queue_sel;
        uint64_t        driver_features;
        bool            activated; /* the driver said DRIVER_OK and has not reset it since, whether that went well or not */
        /* made at the first activation, before the worker; closed when the transport is freed */
        int      kicks[VIRTIO_QUEUES_MAX];
        /* worker only (one after the other) */
        uint64_t connected; /* queues whose doorbells KVM rings, a bit each */
        /* Any thread. Relaxed, but where said: each is a word of its own, and what an interrupt tells of is published by the
         * ring. */
        _Atomic uint32_t status, interrupt_status, config_generation;
};

/* Under lock. Starts the device, its worker parked or not. */
int  mmio_activate(struct virtio_mmio *t, bool parked, struct err *e);
void mmio_reset(struct virtio_mmio *t); /* transport and device as new, but for what is connected */
