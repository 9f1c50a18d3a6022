/* A device and its worker on the rig's rings: served, parked while requests run, reset, broken, condemned. */
#include "tests/unit/kvm/loop_device.h"

#include <errno.h>
#include <pthread.h>

#define FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)

struct world {
        struct rig         *r;
        struct loop_device *l;
        struct rig_device   t;
};

static struct world world_new(void)
{
        struct world w = { .r = rig_new() };

        w.l = loop_new(&w.r->env, NULL);
        return w;
}

static struct world *world_start(bool parked)
{
        struct world *w = malloc(sizeof(*w));

        *w = world_new();
        rig_device_init(&w->t, w->r, &w->l->d, 64);
        rig_device_activate(&w->t, FEATURES, parked);
        return w;
}

static void world_free(struct world *w)
{
        rig_device_free(&w->t);
        rig_free(w->r);
        free(w);
}

static void wait_for(_Atomic unsigned *counter, unsigned least)
{
        for (int i = 0; i < 200000 && atomic_load(counter) < least; i++)
                rig_nap();
        cr_assert_geq(atomic_load(counter), least);
}

/* Sends text through queue 0 and asserts that it comes back. */
static void echo(struct world *w, const char *text)
{
        uint32_t        len = (uint32_t)strlen(text) + 1;
        struct rig_used u;

        rig_put(w->r, 0x700000, text);
        memset(rig_at(w->r, 0x701000), 0, 4096);
        rig_send(&w->t.q[0], (struct rig_buf[]){ { 0x700000, len, false }, { 0x701000, 4096, true } }, 2);
        rig_kick(&w->t, 0);
        u = rig_wait_used(&w->t.q[0]);
        cr_assert_eq(u.len, len);
        cr_assert_str_eq(rig_at(w->r, 0x701000), text);
}

static void hold(struct world *w, unsigned nr)
{
        unsigned kicked = atomic_load(&w->l->kicked[1]);

        for (unsigned i = 0; i < nr; i++)
                rig_send(&w->t.q[1], (struct rig_buf[]){ { 0x702000, 16, true } }, 1);
        rig_kick(&w->t, 1);
        wait_for(&w->l->kicked[1], kicked + 1);
}

Test(virtio_worker, a_kick_is_served_and_interrupts)
{
        struct world *w = world_start(false);

        echo(w, "hello");
        wait_for(&w->t.interrupts, 1);
        cr_assert_eq(w->t.resets_needed, 0);
        world_free(w);
}

Test(virtio_worker, a_parked_device_waits_and_then_looks_at_every_queue)
{
        struct world *w = world_start(true);

        rig_put(w->r, 0x700000, "before");
        rig_send(&w->t.q[0], (struct rig_buf[]){ { 0x700000, 7, false }, { 0x701000, 4096, true } }, 2);
        rig_kick(&w->t, 0);
        usleep(20000);
        cr_assert_eq(w->l->begun, 0, "not before the VM runs");
        cr_assert_eq(rig_used_idx(&w->t.q[0]), 0);
        virtio_device_resume(&w->l->d);
        rig_wait_used(&w->t.q[0]);
        wait_for(&w->l->kicked[1], 1);
        echo(w, "and on");
        world_free(w);
}

Test(virtio_worker, park_leaves_nothing_in_flight_and_resume_goes_on)
{
        struct world *w = world_start(false);

        for (unsigned round = 0; round < 50; round++) {
                hold(w, 3);
                virtio_device_park(&w->l->d);
                cr_assert_eq(rig_used_idx(&w->t.q[1]), 3 * (round + 1), "returned before the park was over");
                cr_assert_eq(virtq_state(w->l->d.queues[1])->next_used, virtq_state(w->l->d.queues[1])->next_avail);
                virtio_device_park(&w->l->d);
                virtio_device_resume(&w->l->d);
                virtio_device_resume(&w->l->d);
                for (int i = 0; i < 3; i++)
                        rig_wait_used(&w->t.q[1]);
                echo(w, "x");
        }
        cr_assert_eq(w->l->begun, 1);
        cr_assert_eq(w->l->ended, 0);
        world_free(w);
}

Test(virtio_worker, a_device_that_is_asked_to_park_drains_before_anybody_waits_for_it)
{
        struct world *w = world_start(false), *other = world_start(false);

        hold(w, 3);
        hold(other, 3);
        virtio_device_ask_to_park(&w->l->d);
        virtio_device_ask_to_park(&other->l->d);
        wait_for(&w->l->drained, 1);
        wait_for(&other->l->drained, 1);
        virtio_device_park(&w->l->d);
        virtio_device_ask_to_park(&other->l->d);
        virtio_device_resume(&other->l->d);
        virtio_device_resume(&w->l->d);
        echo(w, "resumed after the park");
        echo(other, "resumed before it");
        world_free(w);
        world_free(other);
}

static void *park_and_resume(void *arg)
{
        struct world *w = arg;

        for (int i = 0; i < 300; i++) {
                virtio_device_park(&w->l->d);
                virtio_device_resume(&w->l->d);
        }
        return NULL;
}

Test(virtio_worker, no_request_is_lost_while_another_thread_parks_and_resumes)
{
        struct world *w = world_start(false);
        pthread_t     t;

        cr_assert_eq(pthread_create(&t, NULL, park_and_resume, w), 0);
        for (int i = 0; i < 300; i++)
                echo(w, i % 2 ? "odd" : "even");
        pthread_join(t, NULL);
        world_free(w);
}

static void *reset_it(void *arg)
{
        struct world *w = arg;

        virtio_device_reset(&w->l->d);
        return NULL;
}

Test(virtio_worker, a_reset_by_another_thread_drains_ends_and_makes_it_new)
{
        struct world *w = world_start(false);
        pthread_t     t;

        hold(w, 2);
        cr_assert_eq(pthread_create(&t, NULL, reset_it, w), 0);
        pthread_join(t, NULL);
        cr_assert_eq(rig_used_idx(&w->t.q[1]), 2);
        cr_assert_eq(w->l->ended, 1);
        cr_assert_null(w->l->d.worker);
        cr_assert(!virtq_started(w->l->d.queues[0]));
        cr_assert_eq(virtq_state(w->l->d.queues[0])->desc_gpa, 0);
        virtio_device_resume(&w->l->d);
        virtio_device_park(&w->l->d);
        for (int i = 0; i < 2; i++) {
                rig_queue_init(&w->t.q[i], w->r, 16);
                rig_queue_tell(&w->t.q[i], virtq_state(w->l->d.queues[i]));
        }
        rig_device_activate(&w->t, FEATURES, false);
        echo(w, "a second life");
        world_free(w);
}

Test(virtio_worker, resume_and_reset_may_meet)
{
        for (int i = 0; i < 100; i++) {
                struct world *w = world_start(true);
                pthread_t     t;

                cr_assert_eq(pthread_create(&t, NULL, reset_it, w), 0);
                virtio_device_resume(&w->l->d);
                pthread_join(t, NULL);
                cr_assert_eq(w->l->ended, w->l->begun);
                world_free(w);
        }
}

Test(virtio_worker, a_broken_ring_stops_this_device_once_and_a_reset_mends_it)
{
        struct world *w = world_start(false), *other = world_start(false);

        hold(w, 1);
        *rig_avail(&w->t.q[0], 1) = 100;
        rig_kick(&w->t, 0);
        wait_for(&w->t.resets_needed, 1);
        wait_for(&w->l->drained, 1);
        wait_for(&w->r->nr_messages, 1);
        cr_assert_not_null(strstr(w->r->message, "device of the rig: queue 0: its available index"), "%s", w->r->message);
        cr_assert(virtio_is_broken(&w->l->d));
        rig_kick(&w->t, 0);
        virtio_device_park(&w->l->d);
        virtio_device_resume(&w->l->d);
        virtio_device_park(&w->l->d);
        cr_assert_eq(w->r->nr_messages, 1);
        echo(other, "others do not notice");
        virtio_device_reset(&w->l->d);
        cr_assert(!virtio_is_broken(&w->l->d));
        world_free(w);
        world_free(other);
}

Test(virtio_worker, what_cannot_begin_needs_a_reset)
{
        struct world *w = world_start(true);

        w->l->begin_result = -EIO;
        virtio_device_resume(&w->l->d);
        wait_for(&w->t.resets_needed, 1);
        wait_for(&w->r->nr_messages, 1);
        cr_assert_not_null(strstr(w->r->message, "the test said no"), "%s", w->r->message);
        virtio_device_park(&w->l->d);
        virtio_device_reset(&w->l->d);
        cr_assert_eq(w->l->ended, 0, "what never began does not end");
        world_free(w);
}

Test(virtio_worker, a_guest_that_breaks_its_device_over_and_over_does_not_flood_the_user)
{
        struct world *w = world_start(false);

        for (unsigned i = 0; i < 10 * VIRTIO_MESSAGES_MAX; i++) {
                virtio_broken(&w->l->d, "the guest did it again");
                virtio_device_reset(&w->l->d);
        }
        cr_assert_eq(w->r->nr_messages, VIRTIO_MESSAGES_MAX);
        cr_assert_not_null(strstr(w->r->message, "left out"), "the last line does not say that it is: %s", w->r->message);
        world_free(w);
}

Test(virtio_worker, queues_that_are_none_do_not_activate)
{
        struct world w = world_new();
        struct err   e = { 0 };

        rig_device_init(&w.t, w.r, &w.l->d, 8);
        virtq_state(w.l->d.queues[1])->used_gpa = 3 * GIB;
        cr_assert_eq(virtio_device_activate(&w.l->d, FEATURES, w.t.kicks, false, &e), -EPROTO);
        cr_assert_not_null(strstr(e.text, "queue 1: its used ring"), "%s", e.text);
        rig_device_free(&w.t);
        rig_free(w.r);
}

Test(virtio_worker, a_watched_descriptor_is_ready_until_it_is_unwatched)
{
        struct world *w = world_start(true);
        int           fd = eventfd(1, EFD_NONBLOCK);

        w->l->watched = fd;
        virtio_device_resume(&w->l->d);
        wait_for(&w->l->ready, 1);
        echo(w, "and kicks are served");
        cr_assert_eq(w->l->ready, 1);
        world_free(w);
        close(fd);
}

Test(virtio_worker, a_condemned_vm_takes_nothing_and_lets_nothing_out)
{
        struct world *w = world_start(false);

        echo(w, "x");
        wait_for(&w->l->kicked[0], 2); /* at the start, which may have served it, and by echo */
        atomic_store(&w->r->env.condemned, true);
        rig_send(&w->t.q[0], (struct rig_buf[]){ { 0x700000, 4, false }, { 0x701000, 4096, true } }, 2);
        rig_kick(&w->t, 0);
        wait_for(&w->l->kicked[0], 3);
        virtio_device_park(&w->l->d);
        cr_assert_eq(rig_used_idx(&w->t.q[0]), 1);
        cr_assert_eq(virtio_fetch(&w->l->d, &(struct iovec){ rig_at(w->r, 0x700000), 4 }, 1), -EFAULT);
        world_free(w);
}

Test(virtio_worker, a_lost_page_is_not_fetched)
{
        struct world *w = world_start(false);
        struct iovec  v[] = { { rig_at(w->r, 0x700ff0), 0x20 },
                              { rig_at(w->r, 0x701010), 0x2000 },
                              { rig_at(w->r, 0x400000), 1 } };

        cr_assert_eq(virtio_fetch(&w->l->d, v, 3), 0);
        munmap(rig_at(w->r, 0x702000), PAGE_BYTES);
        cr_assert_eq(virtio_fetch(&w->l->d, v, 3), -EFAULT, "in the middle of a run");
        cr_assert_eq(virtio_fetch(&w->l->d, v, 1), 0);
        munmap(rig_at(w->r, 0x400000), PAGE_BYTES);
        cr_assert_eq(virtio_fetch(&w->l->d, &v[2], 1), -EFAULT);
        atomic_store(&w->r->env.settled, true);
        cr_assert_eq(virtio_fetch(&w->l->d, &v[2], 1), 0, "not looked at any more");
        world_free(w);
}

Test(virtio_worker, queues_whose_rings_are_lost_are_left_alone)
{
        struct world *w = world_start(true);

        munmap(rig_at(w->r, w->t.q[0].avail_gpa & ~0xfffULL), PAGE_BYTES);
        virtio_device_resume(&w->l->d);
        wait_for(&w->r->nr_messages, 2); /* both queues have their rings there */
        cr_assert_not_null(strstr(w->r->message, "lost"), "%s", w->r->message);
        rig_kick(&w->t, 0);
        wait_for(&w->l->kicked[0], 2);
        cr_assert_eq(w->r->nr_messages, 2, "said once of each");
        cr_assert_eq(w->t.resets_needed, 0, "the guest did nothing wrong");
        w->l->nr_held = 0;
        world_free(w);
}

Test(virtio_worker, a_restored_device_offers_what_it_offered)
{
        struct rig         *r = rig_new();
        struct virtio_state saved = { .kind = VIRTIO_RNG, .slot = 3, .device_features = VIRTIO_F_VERSION_1 | 1 };
        struct loop_device *l = loop_new(&r->env, &saved);
        struct virtio_device d;
        struct err          e = { 0 };

        cr_assert_eq(l->d.offered, saved.device_features);
        loop_free(&l->d);
        saved.device_features |= 1ULL << 40;
        cr_assert_lt(virtio_device_init(&d, &loop_ops, &r->env, 1, 0, NULL, &saved, &e), 0);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, "0x10000000000 more"), "%s", e.text);
        rig_free(r);
}
