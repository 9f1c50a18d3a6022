/* tests/unit/kvm/loop_device.h: the smallest virtio device: what it reads from queue 0 it writes back into the same chain.
 * Queue 1 takes chains and keeps them until it is drained, as a disk keeps requests in flight.
 * Owns:    as any device.
 * Threads: as any device; the counters may be read at any time.
 * Blocks:  never. */
#pragma once

#include "kvm/virtio/device.h"
#include "tests/unit/kvm/virtio_rig.h"

#include <sys/epoll.h>

#define LOOP_QUEUES 2

struct loop_device {
        struct virtio_device d;
        struct virtq_chain   held[64];
        size_t               nr_held;
        int                  watched; /* the descriptor to watch from begin on, or -1 */
        int                  begin_result;
        uint8_t              config[8];
        _Atomic unsigned     begun, drained, ended, ready, refused;
        _Atomic unsigned     kicked[LOOP_QUEUES];
};

static inline int loop_begin(struct virtio_device *d, struct err *e)
{
        struct loop_device *l = (struct loop_device *)d;

        atomic_fetch_add(&l->begun, 1);
        if (l->begin_result < 0)
                return err_set(e, l->begin_result, "the test said no");
        return l->watched >= 0 ? virtio_watch(d, l->watched, EPOLLIN) : 0;
}

static inline void loop_echo(struct loop_device *l, const struct virtq_chain *c)
{
        char    buf[4096];
        ssize_t n = 0;

        if (virtio_fetch(&l->d, c->iov, c->nr_out) < 0)
                atomic_fetch_add(&l->refused, 1);
        else
                n = virtq_chain_read(c, 0, buf, sizeof(buf));
        if (n > 0)
                n = virtq_chain_write(c, 0, buf, (size_t)n);
        virtq_push(l->d.queues[0], c->head, n > 0 ? (uint32_t)n : 0);
}

static inline void loop_kicked(struct virtio_device *d, uint16_t queue)
{
        struct loop_device *l = (struct loop_device *)d;
        struct virtq_chain  c;

        atomic_fetch_add(&l->kicked[queue], 1);
        while (virtio_pop(d, queue, &c)) {
                if (queue == 0)
                        loop_echo(l, &c);
                else
                        l->held[l->nr_held++] = c;
        }
        virtio_notify(d, queue);
}

static inline void loop_ready(struct virtio_device *d, int fd, uint32_t events)
{
        struct loop_device *l = (struct loop_device *)d;

        (void)events;
        atomic_fetch_add(&l->ready, 1);
        virtio_unwatch(d, fd);
}

static inline void loop_drain(struct virtio_device *d)
{
        struct loop_device *l = (struct loop_device *)d;

        while (l->nr_held)
                virtq_push(d->queues[1], l->held[--l->nr_held].head, 0);
        virtio_notify(d, 1);
        atomic_fetch_add(&l->drained, 1);
}

static inline void loop_end(struct virtio_device *d)
{
        atomic_fetch_add(&((struct loop_device *)d)->ended, 1);
}

static inline void loop_read_config(struct virtio_device *d, uint32_t offset, uint8_t *ret, uint32_t len)
{
        struct loop_device *l = (struct loop_device *)d;

        for (uint32_t i = 0; i < len; i++)
                ret[i] = offset + i < sizeof(l->config) ? l->config[offset + i] : 0;
}

static inline void loop_write_config(struct virtio_device *d, uint32_t offset, const uint8_t *data, uint32_t len)
{
        struct loop_device *l = (struct loop_device *)d;

        for (uint32_t i = 0; i < len; i++)
                if (offset + i < sizeof(l->config))
                        l->config[offset + i] = data[i];
}

static inline int loop_save(struct virtio_device *d, struct virtio_state *ret, struct err *e)
{
        struct loop_device *l = (struct loop_device *)d;

        (void)e;
        ret->u.vsock.guest_cid = l->config[0];
        return 0;
}

static inline int loop_load(struct virtio_device *d, const struct virtio_state *s, struct err *e)
{
        struct loop_device *l = (struct loop_device *)d;

        (void)e;
        l->config[0] = (uint8_t)s->u.vsock.guest_cid;
        return 0;
}

static inline void loop_free(struct virtio_device *d)
{
        virtio_device_fini(d);
        free(d);
}

static const struct virtio_ops loop_ops = {
        .kind         = VIRTIO_RNG,
        .read_config  = loop_read_config,
        .write_config = loop_write_config,
        .begin        = loop_begin,
        .kicked       = loop_kicked,
        .ready        = loop_ready,
        .drain        = loop_drain,
        .end          = loop_end,
        .save         = loop_save,
        .load         = loop_load,
        .free         = loop_free,
};

static inline struct loop_device *loop_new(struct virtio_env *env, const struct virtio_state *saved)
{
        static const uint16_t sizes[LOOP_QUEUES] = { 64, 64 };
        struct loop_device   *l = calloc(1, sizeof(*l));
        struct err            e = { 0 };
        uint64_t              features = VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | 1;

        cr_assert_eq(virtio_device_init(&l->d, &loop_ops, env, features, LOOP_QUEUES, sizes, saved, &e), 0, "%s", e.text);
        l->watched = -1;
        return l;
}
