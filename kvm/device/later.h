/* kvm/device/later.h: a device's way to go on later with what it leaves undone now, so that one wake-up has bounded work: its
 * worker looks at what else is asked of it (to park, to end, another queue) in between.
 * Owns:    an eventfd that is always readable; it is watched only while there is something left.
 * Threads: later_open and later_close: the session thread; the rest the worker's.
 * Blocks:  never. */
#pragma once

#include "kvm/virtio/device.h"

struct later {
        int  fd;
        bool wanted;
};

int  later_open(struct later *l); /* 0 or -errno */
void later_close(struct later *l);

/* In begin: nothing is left of an earlier life. */
void later_begin(struct later *l);
/* True: ops->ready will come for l->fd as long as it is wanted. False: it cannot be had (no memory), do it now. */
bool later_want(struct later *l, struct virtio_device *d);
void later_done(struct later *l, struct virtio_device *d);
