/* tests/unit/kvm/fake_driver.h: the rig around a device that is made by its kind, saved, restored, and whose discards are kept.
 * Owns:    the rig and the device; driver_free gives both back.
 * Threads: the test's; the device's worker calls driver_on_discard.
 * Blocks:  driver_take until a buffer comes back. */
#pragma once

#include "core/base/clock.h"
#include "tests/unit/kvm/virtio_rig.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#define DRIVER_DATA_GPA     UINT64_C(0x200000) /* past the rings */
#define DRIVER_DISCARDS_MAX 512

struct driver {
        struct rig           *r;
        struct rig_device     t;
        struct virtio_device *d;
        /* written by the worker before it gives the buffer back that told of them */
        _Atomic size_t nr_discards;
        struct { gpa_t gpa; uint64_t len; } discards[DRIVER_DISCARDS_MAX];
};

#define driver_await(cond)                                                      \
        do {                                                                    \
                uint64_t until_ = now_ns() + 10 * NS_PER_S;                     \
                while (!(cond) && now_ns() < until_)                            \
                        usleep(200);                                            \
                cr_assert(cond, "still not so after 10 s: %s", #cond);          \
        } while (0)

static inline uint8_t *driver_at(const struct driver *g, gpa_t gpa)
{
        return rig_at(g->r, gpa);
}

static inline void driver_on_discard(void *arg, gpa_t gpa, uint64_t len)
{
        struct driver *g = arg;
        uint8_t *at = mem_layout_gpa_to_hva(&g->r->layout, gpa, len);
        size_t i = g->nr_discards++;

        if (i < DRIVER_DISCARDS_MAX) {
                g->discards[i].gpa = gpa;
                g->discards[i].len = len;
        }
        if (!at || !is_page_aligned(gpa | len))
                abort(); /* no whole pages of one window: as good as a lost test */
        memset(at, 0, len);
}

static inline void driver_on_message(void *arg, const char *text)
{
        rig_message(((struct driver *)arg)->r, text);
}

static inline int driver_try_new(struct driver *g, const struct virtio_maker *maker, const struct device_config *c,
                                 const struct virtio_state *saved, struct err *e)
{
        g->r = rig_new();
        g->r->env.arg = g;
        g->r->env.discard = driver_on_discard;
        g->r->env.message = driver_on_message;
        return maker->new(c, saved, &g->r->env, &g->d, e);
}

static inline struct driver *driver_new(const struct virtio_maker *maker, const struct device_config *c,
                                        const struct virtio_state *saved)
{
        struct driver *g = calloc(1, sizeof(*g));
        struct err e = {0};

        cr_assert_eq(driver_try_new(g, maker, c, saved, &e), 0, "%s", e.text);
        return g;
}

static inline void driver_free(struct driver *g)
{
        if (g->d && g->t.d)
                rig_device_free(&g->t);
        else if (g->d)
                g->d->ops->free(g->d);
        rig_free(g->r);
        free(g);
}

/* All queues with `size` entries (less where the device takes less); the driver sets up the first nr of them. */
static inline void driver_start(struct driver *g, uint64_t features, uint16_t nr, uint16_t size)
{
        rig_device_init(&g->t, g->r, g->d, size);
        for (uint16_t q = nr; q < g->d->nr_queues; q++)
                virtq_state(g->d->queues[q])->ready = false;
        rig_device_activate(&g->t, features | VIRTIO_F_VERSION_1, false);
}

/* The driver takes a reset and begins anew. */
static inline void driver_restart(struct driver *g, uint64_t features, uint16_t nr, uint16_t size)
{
        virtio_device_reset(g->d);
        for (uint16_t q = 0; q < g->d->nr_queues; q++)
                close(g->t.kicks[q]);
        driver_start(g, features, nr, size);
}

static inline uint16_t driver_add_one(struct driver *g, uint16_t queue, gpa_t gpa, uint32_t len, bool in)
{
        return rig_send(&g->t.q[queue], &(struct rig_buf){gpa, len, in}, 1);
}

/* The head that the next chain gets. */
static inline uint16_t driver_next_head(const struct driver *g, uint16_t queue)
{
        return g->t.q[queue].free[g->t.q[queue].nr_free - 1];
}

static inline void driver_kick(struct driver *g, uint16_t queue)
{
        rig_kick(&g->t, queue);
}

static inline bool driver_has_used(const struct driver *g, uint16_t queue)
{
        return rig_used_idx(&g->t.q[queue]) != g->t.q[queue].used_seen;
}

static inline uint32_t driver_take(struct driver *g, uint16_t queue, uint32_t *ret_len)
{
        struct rig_used u = rig_wait_used(&g->t.q[queue]);

        if (ret_len)
                *ret_len = u.len;
        return u.head;
}

/* What the device would be in a snapshot. It stays parked. */
static inline struct virtio_state driver_save(struct driver *g)
{
        struct virtio_state s = {.kind = g->d->ops->kind, .device_features = g->d->offered, .driver_features = g->d->features,
                                 .status = 15,
                                 .activated = g->d->worker != NULL, .nr_queues = g->d->nr_queues};
        struct err e = {0};

        virtio_device_park(g->d);
        for (int q = 0; q < g->d->nr_queues; q++)
                s.queues[q] = *virtq_state(g->d->queues[q]);
        cr_assert_eq(g->d->ops->save(g->d, &s, &e), 0, "%s", e.text);
        return s;
}

/* Another device for the guest of `old`: its RAM as it is, with what waits in its rings. */
static inline struct driver *driver_restore(const struct virtio_maker *maker, const struct device_config *c,
                                            const struct virtio_state *s, const struct driver *old)
{
        struct driver *g = driver_new(maker, c, s);
        struct err e = {0};

        rig_device_init(&g->t, g->r, g->d, 8); /* for its bells; its queues are those of the old one */
        memcpy(g->r->layout.ram, old->r->layout.ram, 2 * RIG_WINDOW_BYTES);
        for (int q = 0; q < s->nr_queues; q++) {
                g->t.q[q] = old->t.q[q];
                g->t.q[q].r = g->r;
                *virtq_state(g->d->queues[q]) = s->queues[q];
        }
        if (g->d->ops->load)
                cr_assert_eq(g->d->ops->load(g->d, s, &e), 0, "%s", e.text);
        rig_device_activate(&g->t, s->driver_features, true);
        virtio_device_resume(g->d);
        return g;
}
