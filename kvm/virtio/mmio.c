/* kvm/virtio/mmio.c: the registers of a virtio-mmio device and what writing them starts. */
#include "kvm/virtio/mmio_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Section 4.2.2. */
enum mmio_register {
        REG_MAGIC               = 0x000,
        REG_VERSION             = 0x004,
        REG_DEVICE_ID           = 0x008,
        REG_VENDOR_ID           = 0x00c,
        REG_DEVICE_FEATURES     = 0x010,
        REG_DEVICE_FEATURES_SEL = 0x014,
        REG_DRIVER_FEATURES     = 0x020,
        REG_DRIVER_FEATURES_SEL = 0x024,
        REG_QUEUE_SEL           = 0x030,
        REG_QUEUE_NUM_MAX       = 0x034,
        REG_QUEUE_NUM           = 0x038,
        REG_QUEUE_READY         = 0x044,
        REG_QUEUE_NOTIFY        = 0x050,
        REG_INTERRUPT_STATUS    = 0x060,
        REG_INTERRUPT_ACK       = 0x064,
        REG_STATUS              = 0x070,
        REG_QUEUE_DESC_LOW      = 0x080,
        REG_QUEUE_DESC_HIGH     = 0x084,
        REG_QUEUE_AVAIL_LOW     = 0x090,
        REG_QUEUE_AVAIL_HIGH    = 0x094,
        REG_QUEUE_USED_LOW      = 0x0a0,
        REG_QUEUE_USED_HIGH     = 0x0a4,
        REG_SHM_LEN_LOW         = 0x0b0,
        REG_SHM_LEN_HIGH        = 0x0b4,
        REG_SHM_BASE_LOW        = 0x0b8,
        REG_SHM_BASE_HIGH       = 0x0bc,
        REG_CONFIG_GENERATION   = 0x0fc,
        REG_CONFIG              = 0x100,
};

#define MAGIC   0x74726976u /* "virt" */
#define VERSION 2u

static uint32_t get(_Atomic uint32_t *word)
{
        return atomic_load_explicit(word, memory_order_relaxed); /* see mmio_internal.h */
}

/* --- the device's hooks; any thread --- */

static void interrupt(void *transport, bool config)
{
        struct virtio_mmio *t = transport;

        if (config)
                atomic_fetch_add_explicit(&t->config_generation, 1, memory_order_relaxed);
        if (!(get(&t->status) & STATUS_DRIVER_OK))
                return;
        atomic_fetch_or_explicit(&t->interrupt_status, config ? INTERRUPT_CONFIG : INTERRUPT_QUEUE, memory_order_relaxed);
        t->wires.interrupt(t->wires.arg);
}

static void needs_reset(void *transport)
{
        struct virtio_mmio *t = transport;

        atomic_fetch_or_explicit(&t->status, STATUS_NEEDS_RESET, memory_order_relaxed);
        interrupt(t, true);
}

/* Kicks came by way of the bus until now, and may go on to. Once connected a doorbell stays so, also while the device is reset:
 * taking it away costs a millisecond (measured, 0.7 to 1.1), and a kick that nobody waits for does no harm. */
static void serving(void *transport)
{
        struct virtio_mmio *t = transport;

        for (uint16_t i = 0; i < t->d->nr_queues; i++) {
                bool wanted = virtq_started(t->d->queues[i]) && !(t->connected >> i & 1);

                if (wanted && t->wires.doorbell(t->wires.arg, i, t->kicks[i]) >= 0)
                        t->connected |= UINT64_C(1) << i;
        }
}

/* --- activation and reset; under lock --- */

static int open_kicks(struct virtio_mmio *t)
{
        for (uint16_t i = 0; i < t->d->nr_queues; i++) {
                eventfd_t old;

                if (t->kicks[i] < 0)
                        t->kicks[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                else
                        (void)eventfd_read(t->kicks[i], &old); /* of an earlier life */
                if (t->kicks[i] < 0)
                        return -errno;
        }
        return 0;
}

int mmio_activate(struct virtio_mmio *t, bool parked, struct err *e)
{
        int r = open_kicks(t);

        if (r < 0)
                return err_set(e, r, "an eventfd for its doorbell: %s", strerror(-r));
        return virtio_device_activate(t->d, t->driver_features, t->kicks, parked, e);
}

static void driver_ok(struct virtio_mmio *t)
{
        struct err e = { 0 };

        t->activated = true;
        if (!(get(&t->status) & STATUS_FEATURES_OK))
                virtio_broken(t->d, "expected FEATURES_OK before DRIVER_OK, found status %#x", get(&t->status));
        else if (mmio_activate(t, false, &e) < 0)
                virtio_broken(t->d, "%s", e.text);
}

void mmio_reset(struct virtio_mmio *t)
{
        virtio_device_reset(t->d);
        t->activated = false;
        t->driver_features = 0;
        t->device_features_sel = t->driver_features_sel = t->queue_sel = 0;
        /* after the worker's end: it interrupts no more */
        atomic_store_explicit(&t->status, 0, memory_order_relaxed);
        atomic_store_explicit(&t->interrupt_status, 0, memory_order_relaxed);
}

static void write_status(struct virtio_mmio *t, uint32_t value)
{
        uint32_t before = get(&t->status);

        if (!value) {
                mmio_reset(t);
                return;
        }
        value &= 0xffu & ~STATUS_NEEDS_RESET; /* which is the device's to say */
        if (t->driver_features & ~t->d->offered) /* section 2.2.2: such a choice is not OK */
                value &= ~STATUS_FEATURES_OK;
        /* bits only come, until the reset */
        atomic_fetch_or_explicit(&t->status, value, memory_order_relaxed);
        if (value & ~before & STATUS_DRIVER_OK)
                driver_ok(t);
}

/* --- registers; under lock --- */

/* The queue that QueueSel names, or NULL. */
static struct virtqueue_state *selected(struct virtio_mmio *t)
{
        return t->queue_sel < t->d->nr_queues ? virtq_state(t->d->queues[t->queue_sel]) : NULL;
}

static uint32_t read_register(struct virtio_mmio *t, uint32_t reg)
{
        const struct virtqueue_state *q = selected(t);

        switch ((enum mmio_register)reg) {
        case REG_MAGIC:
                return MAGIC;
        case REG_VERSION:
                return VERSION;
        case REG_DEVICE_ID:
                return t->d->ops->kind;
        case REG_DEVICE_FEATURES:
                return t->device_features_sel < 2 ? (uint32_t)(t->d->offered >> 32 * t->device_features_sel) : 0;
        case REG_QUEUE_NUM_MAX:
                return q ? q->max_size : 0;
        case REG_QUEUE_READY:
                return q && q->ready;
        case REG_INTERRUPT_STATUS:
                return get(&t->interrupt_status);
        case REG_STATUS:
                return get(&t->status);
        case REG_CONFIG_GENERATION:
                return get(&t->config_generation);
        case REG_SHM_LEN_LOW:
        case REG_SHM_LEN_HIGH:
        case REG_SHM_BASE_LOW:
        case REG_SHM_BASE_HIGH:
                return UINT32_MAX; /* section 4.2.2: there is no such region */
        default:
                return 0; /* the vendor's id among them */
        }
}

static void set_half(gpa_t *gpa, uint32_t value, bool high)
{
        *gpa = high ? (*gpa & UINT32_MAX) | (gpa_t)value << 32 : (*gpa & ~(gpa_t)UINT32_MAX) | value;
}

/* While the driver sets the queue up; what it writes later is no queue's business. */
static void write_queue(struct virtio_mmio *t, enum mmio_register reg, uint32_t value)
{
        struct virtqueue_state *q = selected(t);

        if (!q || t->activated || (q->ready && reg != REG_QUEUE_READY))
                return;
        switch (reg) {
        case REG_QUEUE_NUM:
                q->size = (uint16_t)MIN(value, UINT16_MAX); /* checked when it is started */
                break;
        case REG_QUEUE_READY:
                q->ready = value & 1;
                break;
        case REG_QUEUE_DESC_LOW:
        case REG_QUEUE_DESC_HIGH:
                set_half(&q->desc_gpa, value, reg == REG_QUEUE_DESC_HIGH);
                break;
        case REG_QUEUE_AVAIL_LOW:
        case REG_QUEUE_AVAIL_HIGH:
                set_half(&q->avail_gpa, value, reg == REG_QUEUE_AVAIL_HIGH);
                break;
        case REG_QUEUE_USED_LOW:
        case REG_QUEUE_USED_HIGH:
                set_half(&q->used_gpa, value, reg == REG_QUEUE_USED_HIGH);
                break;
        default:
                break;
        }
}

static void write_driver_features(struct virtio_mmio *t, uint32_t value)
{
        if (t->driver_features_sel < 2 && !(get(&t->status) & STATUS_FEATURES_OK))
                set_half(&t->driver_features, value, t->driver_features_sel);
}

static void notify(struct virtio_mmio *t, uint32_t queue)
{
        if (t->activated && queue < t->d->nr_queues && t->kicks[queue] >= 0)
                (void)eventfd_write(t->kicks[queue], 1); /* full: the worker has not looked yet, and will */
}

static void write_register(struct virtio_mmio *t, uint32_t reg, uint32_t value)
{
        switch ((enum mmio_register)reg) {
        case REG_DEVICE_FEATURES_SEL:
                t->device_features_sel = value;
                break;
        case REG_DRIVER_FEATURES_SEL:
                t->driver_features_sel = value;
                break;
        case REG_DRIVER_FEATURES:
                write_driver_features(t, value);
                break;
        case REG_QUEUE_SEL:
                t->queue_sel = value;
                break;
        case REG_QUEUE_NOTIFY:
                notify(t, value);
                break;
        case REG_INTERRUPT_ACK:
                if (get(&t->status) & STATUS_DRIVER_OK)
                        atomic_fetch_and_explicit(&t->interrupt_status, ~value, memory_order_relaxed);
                break;
        case REG_STATUS:
                write_status(t, value);
                break;
        default:
                write_queue(t, reg, value);
        }
}

/* --- the bus --- */

static void mmio_read(void *arg, uint64_t offset, uint8_t *ret_data, uint32_t len_bytes)
{
        struct virtio_mmio *t = arg;
        uint32_t            value;

        memset(ret_data, 0, len_bytes);
        pthread_mutex_lock(&t->lock);
        if (offset >= REG_CONFIG) {
                t->d->ops->read_config(t->d, (uint32_t)offset - REG_CONFIG, ret_data, len_bytes);
        } else if (len_bytes == sizeof(value)) {
                value = read_register(t, (uint32_t)offset);
                memcpy(ret_data, &value, sizeof(value));
        }
        pthread_mutex_unlock(&t->lock);
}

static void mmio_write(void *arg, uint64_t offset, const uint8_t *data, uint32_t len_bytes)
{
        struct virtio_mmio *t = arg;
        uint32_t            value;

        pthread_mutex_lock(&t->lock);
        if (offset >= REG_CONFIG) {
                if (t->d->ops->write_config)
                        t->d->ops->write_config(t->d, (uint32_t)offset - REG_CONFIG, data, len_bytes);
        } else if (len_bytes == sizeof(value)) {
                memcpy(&value, data, sizeof(value));
                write_register(t, (uint32_t)offset, value);
        }
        pthread_mutex_unlock(&t->lock);
}

const struct bus_ops virtio_mmio_ops = { .read = mmio_read, .write = mmio_write };

/* --- made and freed --- */

int virtio_mmio_new(struct virtio_device *d, const struct virtio_wires *wires, struct virtio_mmio **ret, struct err *e)
{
        struct virtio_mmio *t = calloc(1, sizeof(*t));

        if (!t)
                return err_set(e, -ENOMEM, "%s: no memory for its transport", d->what);
        t->d = d;
        t->wires = *wires;
        pthread_mutex_init(&t->lock, NULL);
        for (size_t i = 0; i < ARRAY_LEN(t->kicks); i++)
                t->kicks[i] = -1;
        d->transport = t;
        d->interrupt = interrupt;
        d->needs_reset = needs_reset;
        d->serving = serving;
        *ret = t;
        return 0;
}

void virtio_mmio_free(struct virtio_mmio *t)
{
        if (!t)
                return;
        virtio_device_reset(t->d);
        for (size_t i = 0; i < ARRAY_LEN(t->kicks); i++)
                if (t->kicks[i] >= 0)
                        close(t->kicks[i]);
        pthread_mutex_destroy(&t->lock);
        free(t);
}
