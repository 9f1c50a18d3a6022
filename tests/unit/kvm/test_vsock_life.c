/* A vsock device made, reset, saved and restored, and the file at its path. */
#include "tests/unit/kvm/vsock_rig.h"

static struct err refused(struct guest *g, const struct virtio_state *saved)
{
        struct err e = { 0 };

        cr_assert_lt(guest_make(g, saved, &e), 0);
        return e;
}

static bool exists(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

Test(vsock_life, a_new_device_shows_its_cid_and_removes_its_socket_at_the_end)
{
        struct guest *g = guest_new();
        struct err    e = { 0 };
        uint64_t      cid[2] = { 0, 1 };

        cr_assert_eq(guest_make(g, NULL, &e), 0, "%s", e.text);
        g->d->ops->read_config(g->d, 0, (uint8_t *)cid, 16);
        cr_assert_eq(cid[0], GUEST_CID);
        cr_assert_eq(cid[1], 0);
        cr_assert_eq(g->d->offered, GUEST_FEATURES);
        cr_assert(exists(g->path));
        g->d->ops->free(g->d);
        g->d = NULL;
        cr_assert(!exists(g->path));
        guest_free(g);
}

Test(vsock_life, a_cid_that_no_guest_may_have_is_refused)
{
        static const uint64_t bad[] = { 0, 1, 2, UINT32_MAX, 1ULL << 32 };
        struct guest         *g = guest_new();

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                g->config.guest_cid = bad[i];
                cr_assert_eq(refused(g, NULL).kind, ERR_USAGE);
        }
        guest_free(g);
}

Test(vsock_life, a_saved_cid_that_no_guest_may_have_is_the_snapshots_fault)
{
        struct guest       *g = guest_new();
        struct virtio_state saved = { .kind = VIRTIO_VSOCK, .device_features = GUEST_FEATURES, .u.vsock.guest_cid = 2 };

        g->config.guest_cid = 0;
        cr_assert_eq(refused(g, &saved).kind, ERR_SNAPSHOT);
        guest_free(g);
}

Test(vsock_life, a_socket_where_nobody_listens_any_more_is_replaced)
{
        struct guest *g = guest_new();
        struct err    e = { 0 };

        close(host_listens(g, ""));
        cr_assert(exists(g->path));
        cr_assert_eq(guest_make(g, NULL, &e), 0, "%s", e.text);
        guest_free(g);
}

Test(vsock_life, a_socket_where_somebody_listens_and_a_file_of_another_kind_are_left_alone)
{
        struct guest *g = guest_new();
        int           at = host_listens(g, "");
        struct err    e = refused(g, NULL);

        cr_assert_not_null(strstr(e.text, g->path), "%s", e.text);
        cr_assert_not_null(strstr(e.text, "in use"), "%s", e.text);
        cr_assert(exists(g->path));
        close(at);
        unlink(g->path);
        tmpdir_write(&g->dir, "v", "precious", 8);
        cr_assert_not_null(strstr(refused(g, NULL).text, "another kind"));
        cr_assert(exists(g->path));
        guest_free(g);
}

Test(vsock_life, a_path_too_long_for_its_ports_is_refused)
{
        struct guest *g = guest_new();

        memset(g->path, 'x', 97);
        g->path[97] = '\0';
        cr_assert_eq(refused(g, NULL).kind, ERR_USAGE);
        guest_free(g);
}

Test(vsock_life, what_somebody_else_put_at_the_path_meanwhile_stays)
{
        struct guest *g = guest_started();

        unlink(g->path);
        tmpdir_write(&g->dir, "v", "precious", 8);
        rig_device_free(&g->t);
        g->d = g->t.d = NULL;
        cr_assert(exists(g->path));
        guest_free(g);
}

Test(vsock_life, a_reset_ends_every_connection_and_the_next_driver_starts_anew)
{
        struct guest *g = guest_started();
        uint32_t      port;
        int           fd = host_client(g, &port), waiting = host_connects(g);

        virtio_device_reset(g->d);
        host_reads_end(fd);
        close(fd);
        close(waiting);
        rig_device_start(&g->t, g->r, g->d, GUEST_FEATURES, 256);
        guest_offer(g, 16);
        close(host_client(g, &port));
        guest_free(g);
}

/* --- saved and restored --- */

static struct virtio_state save(struct guest *g)
{
        struct virtio_state s = { .kind = VIRTIO_VSOCK, .slot = 6, .device_features = g->d->offered,
                                  .driver_features = g->d->features, .activated = true };
        struct err          e = { 0 };

        virtio_device_park(g->d);
        cr_assert_eq(g->d->ops->save(g->d, &s, &e), 0, "%s", e.text);
        for (uint16_t i = 0; i < g->d->nr_queues; i++)
                s.queues[i] = *virtq_state(g->d->queues[i]);
        return s;
}

/* Another device takes over the same guest. */
static void restore(struct guest *g, const struct virtio_state *s)
{
        struct err e = { 0 };

        virtio_device_reset(g->d);
        g->d->ops->free(g->d);
        cr_assert_eq(guest_make(g, s, &e), 0, "%s", e.text);
        g->d->transport = &g->t;
        g->d->interrupt = rig_interrupt;
        g->d->needs_reset = rig_needs_reset;
        g->t.d = g->d;
        for (uint16_t i = 0; i < g->d->nr_queues; i++)
                *virtq_state(g->d->queues[i]) = s->queues[i];
        cr_assert_eq(g->d->ops->load(g->d, s, &e), 0, "%s", e.text);
        rig_device_activate(&g->t, s->driver_features, true);
        virtio_device_resume(g->d);
}

static gpa_t offer_event(struct guest *g)
{
        gpa_t gpa = rig_alloc(g->r, 4, 4);

        rig_poke(g->r, gpa, "\xee\xee\xee\xee", 4);
        rig_send(&g->t.q[VSOCK_EVENTS], &(struct rig_buf){ gpa, 4, true }, 1);
        return gpa;
}

static void assert_reset_event(struct guest *g, gpa_t gpa)
{
        struct vsock_event event;

        cr_assert_eq(rig_wait_used(&g->t.q[VSOCK_EVENTS]).len, 4);
        rig_peek(g->r, gpa, &event, sizeof(event));
        cr_assert_eq(event.id, VSOCK_EVENT_TRANSPORT_RESET);
}

Test(vsock_life, a_restored_guest_is_told_that_its_connections_are_no_more)
{
        struct guest       *g = guest_started();
        uint32_t            port;
        int                 fd = host_client(g, &port);
        gpa_t               event = offer_event(g);
        struct virtio_state s;

        rig_kick(&g->t, VSOCK_EVENTS);
        s = save(g);
        cr_assert_eq(rig_used_idx(&g->t.q[VSOCK_EVENTS]), 0); /* the guest that is saved goes on as it was */
        restore(g, &s);
        host_reads_end(fd);
        close(fd);
        assert_reset_event(g, event);
        guest_writes(g, 52, port, "anybody there", 13);
        guest_hears(g, VSOCK_RST);
        close(host_client(g, &port));
        guest_free(g);
}

Test(vsock_life, a_reset_event_waits_for_an_event_buffer_and_comes_once)
{
        struct guest       *g = guest_started();
        struct virtio_state s = save(g);
        gpa_t               event;

        restore(g, &s);
        event = offer_event(g);
        rig_kick(&g->t, VSOCK_EVENTS);
        assert_reset_event(g, event);
        offer_event(g);
        rig_kick(&g->t, VSOCK_EVENTS);
        virtio_device_park(g->d);
        cr_assert_eq(rig_used_idx(&g->t.q[VSOCK_EVENTS]), 1);
        guest_free(g);
}

Test(vsock_life, a_guest_that_is_saved_and_goes_on_keeps_its_connections)
{
        struct guest *g = guest_started();
        uint32_t      port;
        int           fd = host_client(g, &port);

        save(g);
        virtio_device_resume(g->d);
        guest_writes(g, 52, port, "still here", 10);
        host_reads_exactly(fd, "still here");
        close(fd);
        guest_free(g);
}

Test(vsock_life, a_clone_may_have_another_cid)
{
        struct guest       *g = guest_started();
        struct virtio_state s = save(g);
        uint64_t            cid;

        cr_assert_eq(s.u.vsock.guest_cid, GUEST_CID);
        g->config.guest_cid = 5;
        restore(g, &s);
        g->d->ops->read_config(g->d, 0, (uint8_t *)&cid, sizeof(cid));
        cr_assert_eq(cid, 5);
        guest_free(g);
}

Test(vsock_life, what_vhost_offered_a_stratovirt_guest_is_offered_still)
{
        struct guest       *g = guest_new();
        struct virtio_state saved = { .kind = VIRTIO_VSOCK, .device_features = 0x33d000002, .driver_features = 0x330000002,
                                      .u.vsock.guest_cid = 9 };
        struct err          e = { 0 };

        g->config.guest_cid = 0;
        cr_assert_eq(guest_make(g, &saved, &e), 0, "%s", e.text);
        cr_assert_eq(g->d->offered, 0x33d000002);
        g->d->ops->free(g->d);
        g->d = NULL;
        saved.driver_features |= 1 << 24;
        e = refused(g, &saved);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, "0x1000000"), "%s", e.text);
        guest_free(g);
}

Test(vsock_life, a_restored_device_without_a_path_refuses_its_guest)
{
        struct guest       *g = guest_started();
        struct virtio_state s = save(g);

        g->config.path = NULL;
        restore(g, &s);
        guest_says(g, VSOCK_REQUEST, 1, 2, 0);
        guest_hears(g, VSOCK_RST);
        guest_free(g);
}
