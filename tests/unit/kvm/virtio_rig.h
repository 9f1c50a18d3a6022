/* tests/unit/kvm/virtio_rig.h: the driver's side of virtio: guest RAM with rings in it, chains made and taken back, and a device
 * that is started on them without KVM.
 * Owns:    RAM and queues until rig_free; a device until rig_device_free, which calls its ops->free.
 * Threads: the test's; the device's worker calls rig_interrupt and rig_message.
 * Blocks:  rig_wait_used up to 20 s, then the test fails.
 *
 *   struct rig       *r = rig_new();
 *   struct rig_device t;
 *   rig_device_start(&t, r, d, features, 8);               d: made by a kind's new with &r->env
 *   rig_send(&t.q[0], (struct rig_buf[]){ { gpa, len, false }, { gpa2, len2, true } }, 2);
 *   rig_kick(&t, 0);
 *   used = rig_wait_used(&t.q[0]);
 *   rig_device_free(&t); rig_free(r);
 *
 * RAM is two windows: RIG_WINDOW_BYTES at 0 and as many at RIG_HIGH_GPA; what rig_alloc gives lies in the first. */
#pragma once

#include "core/base/checked_copy.h"
#include "kvm/virtio/device.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RIG_WINDOW_BYTES (8 * MIB)
#define RIG_HIGH_GPA     (4 * GIB)

#define RIG_NEXT     1
#define RIG_WRITE    2
#define RIG_INDIRECT 4

struct rig {
        struct mem_layout layout;
        struct virtio_env env;
        gpa_t             next_free;
        _Atomic unsigned  nr_messages;
        char              message[256]; /* the last one; whoever saw nr_messages grow may read it */
        _Atomic uint64_t  discarded_bytes;
};

struct rig_desc {
        uint64_t gpa;
        uint32_t len;
        uint16_t flags, next;
};

struct rig_used {
        uint32_t head, len;
};

/* A queue as its driver sees it. */
struct rig_queue {
        struct rig *r;
        uint16_t    size, avail_idx, used_seen; /* avail_idx: entries made, published or not */
        gpa_t       desc_gpa, avail_gpa, used_gpa;
        uint16_t    nr_free, free[VIRTIO_QUEUE_SIZE_MAX]; /* descriptors, a stack as Linux has it */
};

struct rig_buf {
        gpa_t    gpa;
        uint32_t len;
        bool     in; /* the device writes it */
};

struct rig_device {
        struct rig           *r;
        struct virtio_device *d;
        struct rig_queue      q[VIRTIO_QUEUES_MAX];
        int                   kicks[VIRTIO_QUEUES_MAX];
        _Atomic unsigned      interrupts, config_interrupts, resets_needed;
};

/* --- RAM --- */

static inline void rig_message(void *arg, const char *text)
{
        struct rig *r = arg;

        strncpy(r->message, text, sizeof(r->message) - 1);
        atomic_fetch_add(&r->nr_messages, 1);
}

static inline void rig_discard(void *arg, gpa_t gpa, uint64_t len_bytes)
{
        struct rig *r = arg;

        madvise(mem_layout_gpa_to_hva(&r->layout, gpa, len_bytes), len_bytes, MADV_DONTNEED);
        atomic_fetch_add(&r->discarded_bytes, len_bytes);
}

static inline struct rig *rig_new(void)
{
        struct rig *r = calloc(1, sizeof(*r));

        mem_layout_add(&r->layout, 0, RIG_WINDOW_BYTES, NULL);
        mem_layout_add(&r->layout, RIG_HIGH_GPA, RIG_WINDOW_BYTES, NULL);
        r->layout.ram = mmap(NULL, 2 * RIG_WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                             0);
        cr_assert_neq((void *)r->layout.ram, MAP_FAILED);
        r->env = (struct virtio_env){ .layout = &r->layout, .arg = r, .discard = rig_discard, .message = rig_message };
        r->next_free = 0x1000;
        return r;
}

static inline void rig_free(struct rig *r)
{
        munmap(r->layout.ram, 2 * RIG_WINDOW_BYTES);
        free(r);
}

static inline gpa_t rig_alloc(struct rig *r, uint64_t len_bytes, uint64_t align)
{
        gpa_t gpa = align_up(r->next_free, align);

        r->next_free = gpa + len_bytes;
        cr_assert_leq(r->next_free, RIG_WINDOW_BYTES, "the rig's RAM is used up");
        return gpa;
}

static inline void *rig_at(const struct rig *r, gpa_t gpa)
{
        void *hva = mem_layout_gpa_to_hva(&r->layout, gpa, 1);

        cr_assert_not_null(hva);
        return hva;
}

/* A text, with its NUL. */
static inline void rig_put(struct rig *r, gpa_t gpa, const char *text)
{
        memcpy(rig_at(r, gpa), text, strlen(text) + 1);
}

/* Copies that ThreadSanitizer does not see: what a device reads and writes by system calls is ordered by rings that it does
 * not see. */
static inline void rig_poke(const struct rig *r, gpa_t gpa, const void *from, size_t len_bytes)
{
        if (len_bytes)
                cr_assert_eq(checked_write(rig_at(r, gpa), from, len_bytes), 0);
}

static inline void rig_peek(const struct rig *r, gpa_t gpa, void *to, size_t len_bytes)
{
        cr_assert_eq(checked_read(to, rig_at(r, gpa), len_bytes), 0);
}

static inline uint8_t rig_byte(const struct rig *r, gpa_t gpa)
{
        uint8_t byte;

        rig_peek(r, gpa, &byte, sizeof(byte));
        return byte;
}

/* --- a queue --- */

static inline void rig_queue_init(struct rig_queue *q, struct rig *r, uint16_t size)
{
        *q = (struct rig_queue){ .r = r, .size = size, .nr_free = size };
        q->desc_gpa = rig_alloc(r, size * 16u, 16);
        q->avail_gpa = rig_alloc(r, 6 + size * 2u, 2);
        q->used_gpa = rig_alloc(r, 6 + size * 8u, 4);
        for (uint16_t i = 0; i < size; i++)
                q->free[i] = (uint16_t)(size - 1 - i);
}

/* What the driver tells the transport. */
static inline void rig_queue_tell(const struct rig_queue *q, struct virtqueue_state *s)
{
        s->desc_gpa = q->desc_gpa;
        s->avail_gpa = q->avail_gpa;
        s->used_gpa = q->used_gpa;
        s->size = q->size;
        s->ready = true;
}

static inline struct rig_desc *rig_desc(const struct rig_queue *q, uint16_t i)
{
        return (struct rig_desc *)rig_at(q->r, q->desc_gpa) + i;
}

/* Words of the rings: avail is { flags, idx, ring[size], used_event }, used is { flags, idx, { head, len }[size], avail_event
 * }. */
static inline _Atomic uint16_t *rig_avail(const struct rig_queue *q, size_t word)
{
        return (_Atomic uint16_t *)rig_at(q->r, q->avail_gpa) + word;
}

static inline _Atomic uint16_t *rig_used(const struct rig_queue *q, size_t word)
{
        return (_Atomic uint16_t *)rig_at(q->r, q->used_gpa) + word;
}

static inline _Atomic uint16_t *rig_used_event(const struct rig_queue *q)
{
        return rig_avail(q, 2u + q->size);
}

static inline _Atomic uint16_t *rig_avail_event(const struct rig_queue *q)
{
        return rig_used(q, 2u + 4u * q->size);
}

static inline uint16_t rig_take_desc(struct rig_queue *q)
{
        cr_assert_gt(q->nr_free, 0, "the driver has no descriptor left");
        return q->free[--q->nr_free];
}

/* Puts a head into the ring; seen by the device after rig_publish. */
static inline void rig_offer(struct rig_queue *q, uint16_t head)
{
        atomic_store_explicit(rig_avail(q, 2u + q->avail_idx % q->size), head, memory_order_relaxed);
        q->avail_idx++;
}

static inline void rig_publish(struct rig_queue *q)
{
        atomic_store(rig_avail(q, 1), q->avail_idx);
}

/* A chain of direct descriptors; returns its head. */
static inline uint16_t rig_add(struct rig_queue *q, const struct rig_buf *b, size_t nr)
{
        uint16_t head = rig_take_desc(q), at = head;

        for (size_t i = 0; i < nr; i++) {
                struct rig_desc *d = rig_desc(q, at);

                *d = (struct rig_desc){ .gpa = b[i].gpa, .len = b[i].len, .flags = b[i].in ? RIG_WRITE : 0 };
                if (i + 1 < nr) {
                        at = rig_take_desc(q);
                        d->flags |= RIG_NEXT;
                        d->next = at;
                }
        }
        rig_offer(q, head);
        return head;
}

/* The same by an indirect table, which is allocated and never freed. */
static inline uint16_t rig_add_indirect(struct rig_queue *q, const struct rig_buf *b, size_t nr)
{
        gpa_t            gpa = rig_alloc(q->r, nr * 16, 16);
        struct rig_desc *t = rig_at(q->r, gpa);
        uint16_t         head = rig_take_desc(q);

        for (size_t i = 0; i < nr; i++)
                t[i] = (struct rig_desc){ .gpa = b[i].gpa, .len = b[i].len, .next = (uint16_t)(i + 1),
                                          .flags = (uint16_t)((b[i].in ? RIG_WRITE : 0) | (i + 1 < nr ? RIG_NEXT : 0)) };
        *rig_desc(q, head) = (struct rig_desc){ .gpa = gpa, .len = (uint32_t)(nr * 16), .flags = RIG_INDIRECT };
        rig_offer(q, head);
        return head;
}

static inline uint16_t rig_send(struct rig_queue *q, const struct rig_buf *b, size_t nr)
{
        uint16_t head = rig_add(q, b, nr);

        rig_publish(q);
        return head;
}

static inline uint16_t rig_used_idx(const struct rig_queue *q)
{
        return atomic_load(rig_used(q, 1));
}

/* The next returned chain, its descriptors free again; false: none yet. */
static inline bool rig_take_used(struct rig_queue *q, struct rig_used *ret)
{
        const struct rig_used *ring = (const struct rig_used *)rig_used(q, 2);
        uint16_t               at;

        if (rig_used_idx(q) == q->used_seen)
                return false;
        *ret = ring[q->used_seen++ % q->size];
        cr_assert_lt(ret->head, q->size);
        at = (uint16_t)ret->head;
        for (;;) {
                const struct rig_desc *d = rig_desc(q, at);

                q->free[q->nr_free++] = at;
                if (!(d->flags & RIG_NEXT))
                        return true;
                at = d->next;
        }
}

static inline void rig_nap(void)
{
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
}

static inline struct rig_used rig_wait_used(struct rig_queue *q)
{
        struct rig_used u = { 0 };

        for (int i = 0; i < 200000; i++) {
                if (rig_take_used(q, &u))
                        return u;
                rig_nap();
        }
        cr_assert_fail("the device returned nothing");
        return u;
}

/* --- a device --- */

static inline void rig_interrupt(void *transport, bool config)
{
        struct rig_device *t = transport;

        atomic_fetch_add(config ? &t->config_interrupts : &t->interrupts, 1);
}

static inline void rig_needs_reset(void *transport)
{
        struct rig_device *t = transport;

        atomic_fetch_add(&t->resets_needed, 1);
}

/* Takes d as a transport does: queues of `size` entries (at most as large as the device has them), kicks, nothing started. */
static inline void rig_device_init(struct rig_device *t, struct rig *r, struct virtio_device *d, uint16_t size)
{
        *t = (struct rig_device){ .r = r, .d = d };
        d->transport = t;
        d->interrupt = rig_interrupt;
        d->needs_reset = rig_needs_reset;
        if (!d->what[0])
                snprintf(d->what, sizeof(d->what), "device of the rig");
        for (uint16_t i = 0; i < d->nr_queues; i++) {
                struct virtqueue_state *s = virtq_state(d->queues[i]);

                rig_queue_init(&t->q[i], r, MIN(size, s->max_size));
                rig_queue_tell(&t->q[i], s);
                t->kicks[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
                cr_assert_geq(t->kicks[i], 0);
        }
}

static inline void rig_device_activate(struct rig_device *t, uint64_t features, bool parked)
{
        struct err e = { 0 };

        cr_assert_eq(virtio_device_activate(t->d, features, t->kicks, parked, &e), 0, "%s", e.text);
}

static inline void rig_device_start(struct rig_device *t, struct rig *r, struct virtio_device *d, uint64_t features,
                                    uint16_t size)
{
        rig_device_init(t, r, d, size);
        rig_device_activate(t, features, false);
}

static inline void rig_kick(struct rig_device *t, uint16_t queue)
{
        eventfd_write(t->kicks[queue], 1);
}

static inline void rig_device_free(struct rig_device *t)
{
        uint16_t nr = t->d->nr_queues;

        virtio_device_reset(t->d);
        t->d->ops->free(t->d);
        for (uint16_t i = 0; i < nr; i++)
                close(t->kicks[i]);
}
