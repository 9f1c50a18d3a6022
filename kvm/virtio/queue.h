/* kvm/virtio/queue.h: the device's side of a split virtqueue (virtio 1.2, section 2.7): takes chains of guest buffers, gives
 * them back.
 * Owns:    its scratch; guest memory is the guest's.
 * Threads: one at a time: the device's worker, or the session thread while the worker is parked.
 * Blocks:  while the pager brings a page of the rings.
 *
 * The guest is hostile: every index, length and address is checked here, nothing is trusted twice (what was read is copied,
 * then checked, then used), and a broken ring is an error that concerns this queue's device only. Ring memory is reached by the
 * copies of ram_copy.h alone, so a page that is lost is an error, too, and not a signal. */
#pragma once

#include "core/model/mem_layout.h"
#include "core/model/virtio_state.h"

#include <sys/uio.h>

/* A chain that the driver made available: first what the device reads, then what it writes. */
struct virtq_chain {
        uint16_t            head;
        uint16_t            nr_out, nr_in;       /* pieces */
        uint64_t            out_bytes, in_bytes; /* sums; each below 4 GiB */
        const struct iovec *iov; /* [nr_out + nr_in], host addresses inside guest RAM; until the next pop of this queue */
        bool                settled; /* no page of it can be missing */
        const struct written_pages *written; /* is told what is written into its pieces */
};

struct virtqueue;

/* max_size: entries, a power of two, at most VIRTIO_QUEUE_SIZE_MAX. settled: becomes true when every page of RAM is there;
 * NULL: never. */
int  virtq_new(const struct mem_layout *layout, const _Atomic bool *settled, uint16_t max_size, struct virtqueue **ret);
void virtq_free(struct virtqueue *q); /* accepts NULL */
void virtq_reset(struct virtqueue *q);

/* As the transport's registers and a snapshot have them. virtq_state is writable by the transport while the queue is not
 * started. */
struct virtqueue_state *virtq_state(struct virtqueue *q);

/* The driver said DRIVER_OK, or the VM was restored: checks addresses, alignment and size, from now on the queue may be popped.
 * -EPROTO: the guest's words make no queue (*ret_why says which one, may be NULL). -EFAULT: its rings cannot be read.
 * A restored queue whose next_avail is ahead of the used index in guest memory hands out again, first, what was taken and not
 * returned; next_used is the used index in guest memory. */
int virtq_start(struct virtqueue *q, bool indirect, bool event_idx, const char **ret_why);
bool virtq_started(const struct virtqueue *q);
/* Of the last -EPROTO: what was wrong with the ring, for a message. */
const char *virtq_why(const struct virtqueue *q);

/* 1 and the next chain, 0 there is none, -EPROTO the guest broke the ring, -EFAULT a page of it is lost. After 0 the driver will
 * kick when there is more (with EVENT_IDX the event index is moved on, and the ring looked at once more). */
int virtq_pop(struct virtqueue *q, struct virtq_chain *ret);
/* Gives the chain of the last pop back unused: the next pop returns it again. Once per pop, before any push of it. */
void virtq_unpop(struct virtqueue *q);
/* The driver may have it back: written_bytes were written into its `in` pieces. Seen by the driver after virtq_flush. At most
 * max_size may wait for a flush. */
void virtq_push(struct virtqueue *q, uint16_t head, uint32_t written_bytes);
/* Publishes what was pushed. 1: the driver wants an interrupt for it; 0: it does not, or nothing was pushed; -EFAULT. */
int virtq_flush(struct virtqueue *q);

/* Copies of the bytes [offset, offset + len) of the chain's out (in) pieces taken together: how many there were before the pieces
 * ended, or -EFAULT. */
ssize_t virtq_chain_read(const struct virtq_chain *c, uint64_t offset_bytes, void *buf, size_t len_bytes);
ssize_t virtq_chain_write(const struct virtq_chain *c, uint64_t offset_bytes, const void *buf, size_t len_bytes);
/* The pieces of a part of a chain's out (in) pieces, for readv(2) and the like: fills at most nr_max, returns how many. Pieces of
 * `in` count as written from now on. */
size_t virtq_chain_slice(const struct virtq_chain *c, bool in, uint64_t offset_bytes, uint64_t len_bytes, struct iovec *ret,
                         size_t nr_max);
