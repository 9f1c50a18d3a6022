/* kvm/device/blk_internal.h: a disk, as its two halves know it: blk.c, what it is, and blk_worker.c, what it does.
 * Owns:    the file; while the driver uses the disk also the engine, the requests and their memory.
 * Threads: each field says.
 * Blocks:  see the ops. */
#pragma once

#include "kvm/device/blk_file.h"
#include "kvm/device/blk_request.h"
#include "kvm/virtio/device.h"

#define BLK_BOUNCES 8

struct blk {
        struct virtio_device dev; /* stands first */
        /* set by new, then read-only */
        struct blk_file   file;
        struct blk_config config;
        struct blk_shape  shape; /* begin adds what was negotiated */
        /* the worker's, from begin to end */
        struct blk_io       *io;           /* NULL: no file */
        int                  again_fd;     /* "there was more to do, but others wait" */
        uint32_t             depth;        /* requests; in flight at once, at most */
        uint32_t             nr_busy;      /* requests popped and not answered */
        uint32_t             nr_in_flight; /* of these: with the engine */
        bool                 stalled;      /* popping stopped for want of requests or buffers: a completion goes on with it */
        bool                 told;         /* the user heard of an error of the file */
        struct blk_request  *requests;     /* [depth] */
        struct iovec        *pieces;       /* [depth][VIRTIO_QUEUE_SIZE_MAX] */
        struct blk_request  *free, *alone; /* lists */
        struct blk_request **answered;     /* [depth]; since the last notify */
        uint32_t             nr_answered;
        uint8_t             *bounces;      /* [BLK_BOUNCES][BLK_BOUNCE_BYTES], direct only */
        uint32_t             bounces_free; /* a bit each */
};

int  blk_begin(struct virtio_device *d, struct err *e);
void blk_kicked(struct virtio_device *d, uint16_t queue);
void blk_ready(struct virtio_device *d, int fd, uint32_t events);
void blk_drain(struct virtio_device *d);
void blk_end(struct virtio_device *d);
