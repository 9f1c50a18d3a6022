/* kvm/device/blk_request.h: one request of a disk: what the driver asks for, checked, and the operations on the file that it
 * takes.
 * Owns:    nothing; memory is given by the device, once.
 * Threads: one: the device's worker.
 * Blocks:  while the pager brings a page of the guest.
 *
 *   take ─► ANSWERED (status is known at once)
 *        └► RUN ─► next ─► (the operation) ─► done ─► next ... ─► next says no more: status is known */
#pragma once

#include "kvm/device/blk_io.h"
#include "kvm/device/blk_layout.h"
#include "kvm/virtio/queue.h"

#define BLK_BOUNCE_BYTES (128u * 1024)

/* What the requests of one disk are checked against. */
struct blk_shape {
        bool     has_file, readonly;
        bool     writethrough;          /* the driver knows no FLUSH: what was written must last */
        bool     discard, write_zeroes; /* negotiated */
        bool     is_block;
        uint32_t block_bytes;
        uint32_t mem_align, offset_align;
        uint64_t sectors; /* of the file and of the capacity, the lesser */
        uint32_t max_discard_sectors, max_discard_seg, max_write_zeroes_sectors, max_write_zeroes_seg; /* 0: no limit */
        char     serial[BLK_ID_BYTES];
};

enum blk_means { BLK_PUNCH, BLK_BLKDISCARD, BLK_ZERO_RANGE, BLK_WRITE_ZEROS, BLK_NO_MEANS };

struct blk_request {
        struct blk_io_op op; /* stands first: what an engine hands back is a request */
        uint16_t         head;
        uint32_t         type; /* BLK_T_* */
        uint8_t          status;
        uint8_t         *status_hva;
        uint32_t         read_bytes; /* written to the guest, without the status */
        /* the part of the disk that is left to do */
        uint64_t at_bytes, left_bytes;
        bool     to_sync; /* a last step */
        /* times that the kernel was short of something just then: block layers say EAGAIN also to who may wait */
        uint32_t nr_again;
        /* guest memory, what is left of it (IN, OUT), or a copy of the segments (DISCARD, WRITE_ZEROES) */
        union {
                struct iovec       *pieces;   /* [VIRTIO_QUEUE_SIZE_MAX] */
                struct blk_segment *segments; /* [BLK_SEGMENTS_MAX] */
        };
        uint32_t       first, nr;
        enum blk_means means;
        /* O_DIRECT and pieces that it does not take: needs_bounce after take; then the device gives a buffer, which stays until
         * the end */
        bool         needs_bounce;
        uint8_t     *bounce; /* BLK_BOUNCE_BYTES */
        struct iovec one;
        struct blk_request *next; /* the device's */
};

#define BLK_SEGMENTS_MAX (VIRTIO_QUEUE_SIZE_MAX * sizeof(struct iovec) / sizeof(struct blk_segment))

enum blk_verdict {
        BLK_BROKEN,   /* no request: there is no header, or no place for the status */
        BLK_ANSWERED, /* status is set */
        BLK_RUN,
};

/* Reads what the chain asks for. pieces must be set; c is not needed afterwards. */
enum blk_verdict blk_request_take(struct blk_request *r, const struct virtq_chain *c, const struct blk_shape *s);

/* Fills r->op with the next operation: true; false when there is none and r->status is final. */
bool blk_request_next(struct blk_request *r, const struct blk_shape *s);
/* r->op is not for the engine: blk_io_run does it, through the page cache, while nothing else is in flight. O_DIRECT does not
 * take its offset or length (blocks larger than the guest's sectors; to read, change and write one back, nobody else may), or it
 * is a DISCARD. */
bool blk_request_runs_alone(const struct blk_request *r, const struct blk_shape *s);
/* r->op ended with r->op.result. 0, or -errno where the file failed: for a line to the user; the guest's status is set. */
int blk_request_done(struct blk_request *r, const struct blk_shape *s);
