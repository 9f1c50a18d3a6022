/* kvm/virtio/device.c: what every virtio device shares: queues made and started, a worker, and what devices ask of both. */
#include "kvm/virtio/device.h"

#include "core/base/cleanup.h"
#include "kvm/virtio/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#endif

/* --- made and freed --- */

static int offer(struct virtio_device *d, uint64_t offered, const struct virtio_state *saved, struct err *e)
{
        uint64_t strange;

        d->offered = offered | VIRTIO_F_VERSION_1;
        if (!saved)
                return 0;
        strange = saved->device_features & ~d->offered;
        if (strange)
                return err_bad(e, "state", ERR_NO_OFFSET,
                               "%s in slot %u: expected device features within %#" PRIx64 ", found %#" PRIx64
                               " more; the snapshot's device can do what this version of rouse cannot",
                               virtio_kind_name(d->ops->kind), saved->slot, d->offered, strange);
        d->offered = saved->device_features | VIRTIO_F_VERSION_1;
        return 0;
}

int virtio_device_init(struct virtio_device *d, const struct virtio_ops *ops, struct virtio_env *env, uint64_t offered,
                       uint16_t nr_queues, const uint16_t *max_sizes, const struct virtio_state *saved, struct err *e)
{
        int r;

        *d = (struct virtio_device){ .ops = ops, .env = env };
        r = offer(d, offered, saved, e);
        if (r < 0)
                return r;
        pthread_mutex_init(&d->lock, NULL);
        for (r = 0; d->nr_queues < nr_queues && r >= 0; d->nr_queues += r >= 0)
                r = virtq_new(env->layout, &env->settled, max_sizes[d->nr_queues], &d->queues[d->nr_queues]);
        if (r >= 0)
                return 0;
        virtio_device_fini(d);
        return err_set(e, r, "queues of a virtio %s: %s", virtio_kind_name(ops->kind), strerror(-r));
}

void virtio_device_fini(struct virtio_device *d)
{
        while (d->nr_queues)
                virtq_free(d->queues[--d->nr_queues]);
        pthread_mutex_destroy(&d->lock);
}

/* --- its life --- */

static int start_queues(struct virtio_device *d, struct err *e)
{
        bool indirect = d->features & VIRTIO_F_INDIRECT_DESC, event_idx = d->features & VIRTIO_F_EVENT_IDX;

        for (uint16_t i = 0; i < d->nr_queues; i++) {
                const char *why = "";
                int         r = 0;

                if (virtq_state(d->queues[i])->ready)
                        r = virtq_start(d->queues[i], indirect, event_idx, &why);
                if (r < 0)
                        return err_set(e, r, "queue %u: %s", i, why);
        }
        return 0;
}

static void set_worker(struct virtio_device *d, struct virtio_worker *w)
{
        pthread_mutex_lock(&d->lock);
        d->worker = w;
        pthread_mutex_unlock(&d->lock);
}

/* Stops it first: the session thread, which resumes the VM, may have started it when its activation has failed. */
static void drop_worker(struct virtio_device *d, struct virtio_worker *w)
{
        if (!w)
                return;
        worker_stop(w);
        set_worker(d, NULL);
        worker_free(w);
}

int virtio_device_activate(struct virtio_device *d, uint64_t features, const int *kicks, bool parked, struct err *e)
{
        struct virtio_worker *w = NULL;
        int                   r;

        d->features = features;
        r = start_queues(d, e);
        if (r < 0)
                return r;
        r = worker_new(d, kicks, &w);
        if (r >= 0) {
                set_worker(d, w);
                if (!parked)
                        r = worker_run(w);
        }
        if (r >= 0)
                return 0;
        drop_worker(d, w);
        return err_set(e, r, "its thread: %s", strerror(-r));
}

void virtio_device_reset(struct virtio_device *d)
{
        drop_worker(d, d->worker);
        for (uint16_t i = 0; i < d->nr_queues; i++)
                virtq_reset(d->queues[i]);
        d->features = 0;
        atomic_store_explicit(&d->broken, false, memory_order_relaxed); /* see the field */
}

void virtio_device_ask_to_park(struct virtio_device *d)
{
        if (d->worker)
                worker_ask_to_park(d->worker);
}

void virtio_device_park(struct virtio_device *d)
{
        if (d->worker)
                worker_park(d->worker);
}

void virtio_device_resume(struct virtio_device *d)
{
        int r = 0;

        /* a vCPU that runs already may reset the device meanwhile */
        pthread_mutex_lock(&d->lock);
        if (d->worker)
                r = worker_run(d->worker);
        pthread_mutex_unlock(&d->lock);
        if (r < 0)
                virtio_broken(d, "its thread: %s", strerror(-r));
}

/* --- for devices --- */

void virtio_say(struct virtio_device *d, const char *fmt, ...)
{
        char     text[450], line[sizeof(text) + sizeof(d->what) + 64];
        uint32_t before = atomic_fetch_add_explicit(&d->nr_messages, 1, memory_order_relaxed); /* see the field */
        va_list  ap;

        if (!d->env->message)
                return;
        if (before >= VIRTIO_MESSAGES_MAX) {
                atomic_store_explicit(&d->nr_messages, VIRTIO_MESSAGES_MAX, memory_order_relaxed);
                return;
        }
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        snprintf(line, sizeof(line), "%s: %s%s", d->what, text,
                 before + 1 == VIRTIO_MESSAGES_MAX ? " (what else it has to say is left out)" : "");
        d->env->message(d->env->arg, line);
}

void virtio_broken(struct virtio_device *d, const char *fmt, ...)
{
        char    why[400];
        va_list ap;

        if (atomic_exchange_explicit(&d->broken, true, memory_order_relaxed)) /* see the field */
                return;
        va_start(ap, fmt);
        vsnprintf(why, sizeof(why), fmt, ap);
        va_end(ap);
        virtio_say(d, "%s; it stops until the guest resets it", why);
        d->needs_reset(d->transport);
}

bool virtio_is_broken(const struct virtio_device *d)
{
        return atomic_load_explicit(&d->broken, memory_order_relaxed); /* see the field */
}

bool virtio_is_settled(const struct virtio_device *d)
{
        return atomic_load_explicit(&d->env->settled, memory_order_relaxed); /* see the field */
}

static bool is_condemned(const struct virtio_device *d)
{
        /* pairs with the release of vm_condemn, which comes before a wrong page is let in: who saw the page sees this */
        return atomic_load_explicit(&d->env->condemned, memory_order_acquire);
}

static void lost(struct virtio_device *d, uint16_t queue)
{
        if (worker_lose_queue(d->worker, queue))
                virtio_say(d, "queue %u: a page of its rings is lost; nothing of it is served any more", queue);
}

int virtio_pop(struct virtio_device *d, uint16_t queue, struct virtq_chain *ret)
{
        int r;

        if (virtio_is_broken(d) || is_condemned(d) || worker_has_lost(d->worker, queue))
                return 0;
        r = virtq_pop(d->queues[queue], ret);
        if (r == -EPROTO)
                virtio_broken(d, "queue %u: %s", queue, virtq_why(d->queues[queue]));
        else if (r < 0)
                lost(d, queue);
        return r > 0;
}

void virtio_notify(struct virtio_device *d, uint16_t queue)
{
        int r = virtq_flush(d->queues[queue]);

        if (r < 0)
                lost(d, queue);
        else if (r)
                d->interrupt(d->transport, false);
}

void virtio_config_changed(struct virtio_device *d)
{
        d->interrupt(d->transport, true);
}

int virtio_watch(struct virtio_device *d, int fd, uint32_t events)
{
        return worker_watch(d->worker, fd, events);
}

void virtio_unwatch(struct virtio_device *d, int fd)
{
        worker_unwatch(d->worker, fd);
}

static int populate(uintptr_t first, uintptr_t end)
{
        int r;

        do
                r = madvise((void *)first, end - first, MADV_POPULATE_READ);
        while (r < 0 && (errno == EINTR || errno == EAGAIN));
        return r < 0 ? -EFAULT : 0;
}

int virtio_fetch(struct virtio_device *d, const struct iovec *iov, size_t nr)
{
        uintptr_t first = 0, end = 0;
        bool      settled = virtio_is_settled(d);
        int       r = 0;

        for (size_t i = 0; i < nr && r >= 0 && !settled; i++) {
                uintptr_t at = (uintptr_t)iov[i].iov_base;
                uintptr_t p = at & ~(PAGE_BYTES - 1), q = align_up(at + iov[i].iov_len, PAGE_BYTES);

                if (p <= end && p >= first) { /* goes on where the last piece ended, as buffers mostly do */
                        end = MAX(end, q);
                        continue;
                }
                if (end)
                        r = populate(first, end);
                first = p;
                end = q;
        }
        if (end && r >= 0)
                r = populate(first, end);
        return r < 0 || is_condemned(d) ? -EFAULT : 0;
}
