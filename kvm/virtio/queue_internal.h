/* kvm/virtio/queue_internal.h: the queue's body and the words of a split virtqueue (virtio 1.2, section 2.7).
 * Owns:    see kvm/virtio/queue.h.
 * Threads: see kvm/virtio/queue.h.
 * Blocks:  see kvm/virtio/queue.h. */
#pragma once

#include "kvm/virtio/queue.h"
#include "kvm/virtio/ram_copy.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>

#define VIRTQ_DESC_NEXT          1
#define VIRTQ_DESC_WRITE         2
#define VIRTQ_DESC_INDIRECT      4
#define VIRTQ_AVAIL_NO_INTERRUPT 1

/* Of both rings: flags, index, entries, and with EVENT_IDX one word behind the last entry. */
#define VIRTQ_FLAGS      0
#define VIRTQ_IDX        2
#define VIRTQ_AVAIL_RING 4
#define VIRTQ_USED_RING  4

struct virtq_desc {
        uint64_t gpa;
        uint32_t len;
        uint16_t flags, next;
};
static_assert(sizeof(struct virtq_desc) == 16, "virtio 1.2, section 2.7.5");

struct virtq_used {
        uint32_t head, len_bytes;
};
static_assert(sizeof(struct virtq_used) == 8, "virtio 1.2, section 2.7.8");

/* What a started queue works in; no page of it is touched before it is needed. */
struct virtq_scratch {
        /* table, and behind it the heads */
        _Alignas(struct virtq_desc) uint8_t copy[VIRTIO_QUEUE_SIZE_MAX * (sizeof(struct virtq_desc) + sizeof(uint16_t))];
        struct iovec      iov[VIRTIO_QUEUE_SIZE_MAX];
        struct virtq_desc indirect[VIRTIO_QUEUE_SIZE_MAX];
        struct virtq_used pushed[VIRTIO_QUEUE_SIZE_MAX + 1]; /* behind the last one that is there: the index */
        uint16_t          again[VIRTIO_QUEUE_SIZE_MAX];      /* heads that are handed out again after a restore */
};

struct virtqueue {
        const struct mem_layout *layout;
        const _Atomic bool      *settled; /* struct virtio_env's; NULL: never */
        struct virtqueue_state   s;
        struct virtq_scratch    *m; /* NULL: not started */
        /* from start to reset */
        const char *why; /* the guest broke the ring: it stays so */
        bool        indirect, event_idx;
        uint8_t    *desc, *avail, *used; /* host addresses, inside RAM for all of the ring */
        bool        synced;    /* next_used is the guest's word */
        bool        signalled; /* an interrupt was thought of since the start */
        bool        armed;
        uint16_t    armed_at; /* the event index that the driver has, while `armed` */
        uint16_t    seen;     /* the entries from next_avail up to here are copied */
        uint16_t    nr_again, next_again;
        bool        popped_again; /* the last pop came from there */
        uint16_t    nr_pushed;
};

static inline bool virtq_size_is_good(uint16_t size)
{
        return size && size <= VIRTIO_QUEUE_SIZE_MAX && !(size & (size - 1));
}

/* What virtq_copy_tables copied: the descriptors, and behind them the heads. */
static inline const struct virtq_desc *virtq_table(const struct virtqueue *q)
{
        return (const void *)q->m->copy;
}

static inline uint16_t virtq_head(const struct virtqueue *q, uint16_t position)
{
        const uint16_t *heads = (const void *)(virtq_table(q) + q->s.size);

        return heads[position & (q->s.size - 1u)];
}

/* Every page of RAM is there: see ram_copy.h. It does not change back. */
static inline bool virtq_is_settled(const struct virtqueue *q)
{
        return q->settled && atomic_load_explicit(q->settled, memory_order_relaxed); /* see struct virtio_env */
}

/* The guest broke the ring: -EPROTO, now and until the reset. */
int virtq_bad(struct virtqueue *q, const char *why);
/* Descriptor table and available ring, as they stand in guest memory. */
int virtq_copy_tables(struct virtqueue *q);
/* Before the first pop: takes over the used index of guest memory, and what an earlier device left unreturned. */
int virtq_sync(struct virtqueue *q);
/* Fills `again` with what was taken and is not back: those before next_avail, in order. */
int virtq_recover(struct virtqueue *q, uint16_t used_idx, uint16_t avail_idx);
