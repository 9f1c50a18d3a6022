/* kvm/virtio/mmio_state.c: the transport's registers and queues, loaded from a snapshot and saved into one. */
#include "kvm/virtio/mmio_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- what a snapshot says is checked before any of it counts --- */

static int bad(const struct virtio_state *s, struct err *e, const char *field, uint64_t expected, uint64_t found)
{
        return err_bad(e, "state", ERR_NO_OFFSET, "virtio slot %u (%s): %s: expected at most %#" PRIx64 ", found %#" PRIx64,
                       s->slot, virtio_kind_name(s->kind), field, expected, found);
}

static int check_queue(const struct virtio_state *s, uint16_t i, uint16_t max_size, struct err *e)
{
        const struct virtqueue_state *q = &s->queues[i];
        char                          field[32];

        snprintf(field, sizeof(field), "queue %u: its limit", i);
        if (!q->max_size || q->max_size > max_size || q->max_size & (q->max_size - 1))
                return bad(s, e, field, max_size, q->max_size);
        return 0;
}

static int check(const struct virtio_mmio *t, const struct virtio_state *s, struct err *e)
{
        const struct virtio_device *d = t->d;
        int                         r = 0;

        if (s->kind != d->ops->kind)
                return err_bad(e, "state", ERR_NO_OFFSET, "virtio slot %u: expected a %s, found a %s", s->slot,
                               virtio_kind_name(d->ops->kind), virtio_kind_name(s->kind));
        if (s->no_transport)
                return 0;
        if (s->nr_queues != d->nr_queues)
                return err_bad(e, "state", ERR_NO_OFFSET, "virtio slot %u (%s): expected %u queues, found %u", s->slot,
                               virtio_kind_name(s->kind), d->nr_queues, s->nr_queues);
        if (s->status > 0xff)
                return bad(s, e, "status", 0xff, s->status);
        if (s->interrupt_status > (INTERRUPT_QUEUE | INTERRUPT_CONFIG))
                return bad(s, e, "interrupt status", INTERRUPT_QUEUE | INTERRUPT_CONFIG, s->interrupt_status);
        if (s->activated && s->driver_features & ~d->offered)
                return err_bad(e, "state", ERR_NO_OFFSET,
                               "virtio slot %u (%s): expected driver features within the device's %#" PRIx64 ", found %#" PRIx64,
                               s->slot, virtio_kind_name(s->kind), d->offered, s->driver_features);
        for (uint16_t i = 0; i < s->nr_queues && r >= 0; i++)
                r = check_queue(s, i, virtq_state(d->queues[i])->max_size, e);
        return r;
}

/* --- load and save --- */

static void load_registers(struct virtio_mmio *t, const struct virtio_state *s)
{
        t->device_features_sel = s->device_features_sel;
        t->driver_features_sel = s->driver_features_sel;
        t->queue_sel = s->queue_sel;
        t->driver_features = s->driver_features;
        atomic_store_explicit(&t->status, s->status, memory_order_relaxed);
        atomic_store_explicit(&t->interrupt_status, s->interrupt_status, memory_order_relaxed);
        atomic_store_explicit(&t->config_generation, s->config_generation, memory_order_relaxed);
        for (uint16_t i = 0; i < s->nr_queues; i++)
                *virtq_state(t->d->queues[i]) = s->queues[i];
        /* StratoVirt's transport goes on calling a device active whose driver has reset it (stratovirt.md 2.5) */
        t->activated = s->activated && s->status & STATUS_DRIVER_OK;
        t->d->features = t->activated ? s->driver_features : 0;
        atomic_store_explicit(&t->d->broken, t->activated && s->broken, memory_order_relaxed);
}

/* A broken device has no worker: it does nothing until its reset. */
static int restart(struct virtio_mmio *t, const struct virtio_state *s, struct err *e)
{
        struct err why = { 0 };
        int        r;

        if (!t->activated || s->broken)
                return 0;
        r = mmio_activate(t, true, &why);
        if (r == -EPROTO)
                return err_bad(e, "state", ERR_NO_OFFSET, "virtio slot %u (%s): %s; save it anew with this device idle", s->slot,
                               virtio_kind_name(s->kind), why.text);
        return r < 0 ? err_set(e, r, "virtio slot %u (%s): %s", s->slot, virtio_kind_name(s->kind), why.text) : 0;
}

int virtio_mmio_load(struct virtio_mmio *t, const struct virtio_state *s, struct err *e)
{
        int r = check(t, s, e);

        if (r < 0)
                return r;
        pthread_mutex_lock(&t->lock);
        mmio_reset(t); /* it may have been loaded before */
        if (!s->no_transport)
                load_registers(t, s);
        if (t->d->ops->load)
                r = t->d->ops->load(t->d, s, e);
        if (r >= 0)
                r = restart(t, s, e);
        pthread_mutex_unlock(&t->lock);
        return r;
}

void virtio_mmio_reinject(struct virtio_mmio *t)
{
        bool active = atomic_load_explicit(&t->status, memory_order_relaxed) & STATUS_DRIVER_OK;

        if (active && atomic_load_explicit(&t->interrupt_status, memory_order_relaxed))
                t->wires.interrupt(t->wires.arg);
}

int virtio_mmio_save(struct virtio_mmio *t, struct virtio_state *ret, struct err *e)
{
        struct virtio_device *d = t->d;
        int                   r;

        memset(ret, 0, sizeof(*ret)); /* states are compared byte by byte */
        pthread_mutex_lock(&t->lock);
        ret->kind = d->ops->kind;
        ret->slot = d->slot;
        ret->device_features = d->offered;
        ret->driver_features = t->driver_features;
        ret->status = atomic_load_explicit(&t->status, memory_order_relaxed);
        ret->interrupt_status = atomic_load_explicit(&t->interrupt_status, memory_order_relaxed);
        ret->config_generation = atomic_load_explicit(&t->config_generation, memory_order_relaxed);
        ret->device_features_sel = t->device_features_sel;
        ret->driver_features_sel = t->driver_features_sel;
        ret->queue_sel = t->queue_sel;
        ret->activated = t->activated;
        ret->broken = virtio_is_broken(d);
        ret->nr_queues = d->nr_queues;
        for (uint16_t i = 0; i < d->nr_queues; i++)
                ret->queues[i] = *virtq_state(d->queues[i]);
        r = d->ops->save(d, ret, e);
        pthread_mutex_unlock(&t->lock);
        return r;
}
