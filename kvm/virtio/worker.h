/* kvm/virtio/worker.h: the thread of an active virtio device: it waits for kicks, for what the device watches, and for orders.
 * Owns:    its thread, its epoll and control descriptors; borrows the device and the kicks.
 * Threads: new, run, park, stop, free: who activates, parks and resets the device, one at a time; watch and unwatch: the worker.
 * Blocks:  worker_park until the device is drained, worker_stop until its thread has ended.
 *
 *   new ─► parked ─► run: begin, then every ready queue as if kicked ─► serve ─┬► park: drain ─► parked ─► run: as if kicked ...
 *                                                                              └► stop: drain, end
 *
 * A broken device serves nothing more: it is drained at once and waits for its reset. */
#pragma once

#include "kvm/virtio/device.h"

struct virtio_worker;

int worker_new(struct virtio_device *d, const int *kicks, struct virtio_worker **ret); /* 0 or -errno */
/* The thread is made by the first run, not before: that costs 30 to 50 us, and a restored device is not in a hurry. 0 or
 * -errno. */
int  worker_run(struct virtio_worker *w);
/* Waits for nothing: several devices drain at once, then each is parked. */
void worker_ask_to_park(struct virtio_worker *w);
void worker_park(struct virtio_worker *w);
void worker_stop(struct virtio_worker *w); /* for good; a later run does nothing */
void worker_free(struct virtio_worker *w); /* stopped; accepts NULL */

int  worker_watch(struct virtio_worker *w, int fd, uint32_t events); /* 0 or -errno */
void worker_unwatch(struct virtio_worker *w, int fd);

/* A queue with a lost page: remembers it; false: it was known. Worker. */
bool worker_lose_queue(struct virtio_worker *w, uint16_t queue);
bool worker_has_lost(const struct virtio_worker *w, uint16_t queue);
