/* kvm/device/vsock.c: a virtio socket device (virtio 1.2, section 5.10) with unix sockets on the host: its turns and its life. */
#include "core/base/cleanup.h"
#include "kvm/device/vsock_internal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>

#define QUEUE_SIZE 256 /* entries, each queue; as StratoVirt's */

#define FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)
/* What a StratoVirt vsock, which is the kernel's vhost, offers besides: SEQPACKET (1), NOTIFY_ON_EMPTY (24), LOG_ALL (26),
 * ANY_LAYOUT (27), ACCESS_PLATFORM (33). A device restored from there offers the same. */
#define SEQPACKET    (1ULL << 1)
#define PLATFORM     (1ULL << 33) /* addresses are guest physical: this machine has no IOMMU between */
#define VHOST_OFFERS (SEQPACKET | PLATFORM | 1ULL << 24 | 1ULL << 26 | 1ULL << 27)
/* What a driver may have accepted of it: a SEQPACKET socket is refused like one where nobody listens. */
#define VHOST_HONOURED (SEQPACKET | PLATFORM)

static struct vsock *to_vsock(struct virtio_device *d)
{
        return (struct vsock *)d;
}

/* --- the event queue --- */

static void give_reset(struct vsock *v)
{
        struct vsock_event event = { .id = htole32(VSOCK_EVENT_TRANSPORT_RESET) };
        struct virtq_chain c;

        if (!v->reset_owed || !virtio_pop(&v->d, VSOCK_EVENT_QUEUE, &c))
                return;
        if (c.in_bytes < sizeof(event)) {
                virtio_broken(&v->d, "an event buffer: expected %zu bytes, found %llu", sizeof(event),
                              (unsigned long long)c.in_bytes);
                return;
        }
        if (virtq_chain_write(&c, 0, &event, sizeof(event)) != sizeof(event)) {
                virtq_unpop(v->d.queues[VSOCK_EVENT_QUEUE]);
                return;
        }
        virtq_push(v->d.queues[VSOCK_EVENT_QUEUE], c.head, sizeof(event));
        v->reset_owed = false;
        virtio_notify(&v->d, VSOCK_EVENT_QUEUE);
}

/* --- worker --- */

static void take_turn(struct vsock *v)
{
        bool again;

        vsock_take_packets(v);
        vsock_give_packets(v);
        /* what refusals kept from being taken may be, now that some are delivered; without receive buffers a kick will tell */
        again = !v->lost && ((v->tx_more && v->nr_refusals < VSOCK_REFUSALS_MAX) || v->rx_more);
        if (!again)
                later_done(&v->next_turn, &v->d);
        else if (!later_want(&v->next_turn, &v->d))
                virtio_say(&v->d, "packets stall until the guest moves again: out of memory");
}

static void vsock_kicked(struct virtio_device *d, uint16_t queue)
{
        struct vsock *v = to_vsock(d);

        if (queue == VSOCK_EVENT_QUEUE) {
                give_reset(v);
                return;
        }
        vsock_listen_now(v, v->nr_conns < v->conns_max);
        take_turn(v);
}

static void vsock_ready(struct virtio_device *d, int fd, uint32_t events)
{
        struct vsock      *v = to_vsock(d);
        struct vsock_conn *c;

        if (v->listener && fd == vsock_listener_fd(v->listener)) {
                vsock_accept_clients(v);
        } else if ((c = vsock_table_by_fd(&v->table, fd))) {
                if (c->phase == VSOCK_HELLO) {
                        vsock_hear_client(v, c);
                } else {
                        vsock_conn_ready(c, events);
                        vsock_settle(v, c);
                }
        }
        take_turn(v);
}

/* A guest opens and holds connections as it likes: the other half of the process's descriptors is for disks, clients,
 * snapshots. */
static uint32_t conns_that_fit(void)
{
        struct rlimit l;

        return getrlimit(RLIMIT_NOFILE, &l) < 0 ? VSOCK_CONNS_MAX : (uint32_t)MIN(l.rlim_cur / 2, (rlim_t)VSOCK_CONNS_MAX);
}

static int vsock_begin(struct virtio_device *d, struct err *e)
{
        struct vsock *v = to_vsock(d);

        (void)e;
        later_begin(&v->next_turn);
        v->conns_max = conns_that_fit();
        vsock_listen_now(v, true);
        give_reset(v);
        return 0;
}

static void vsock_end(struct virtio_device *d)
{
        struct vsock *v = to_vsock(d);

        vsock_listen_now(v, false);
        for (size_t i = 0; i < VSOCK_BUCKETS; i++) {
                while (v->table.by_ports[i])
                        vsock_drop(v, v->table.by_ports[i]);
                while (v->table.by_fd[i]) /* those without ports yet */
                        vsock_drop(v, v->table.by_fd[i]);
        }
        vsock_listen_now(v, false); /* a drop makes room */
        later_done(&v->next_turn, d);
        v->nr_refusals = 0;
        v->tx_more = v->rx_more = v->lost = v->reset_owed = false;
}

/* --- config space, save and load --- */

static void vsock_read_config(struct virtio_device *d, uint32_t offset, uint8_t *ret, uint32_t len)
{
        uint64_t cid = htole64(to_vsock(d)->guest_cid);

        memset(ret, 0, len);
        if (offset < sizeof(cid))
                memcpy(ret, (const uint8_t *)&cid + offset, MIN(len, sizeof(cid) - offset));
}

static int vsock_save(struct virtio_device *d, struct virtio_state *ret, struct err *e)
{
        (void)e;
        ret->u.vsock.guest_cid = to_vsock(d)->guest_cid;
        return 0;
}

static int vsock_load(struct virtio_device *d, const struct virtio_state *s, struct err *e)
{
        (void)e;
        /* Its driver's connections ended with the VM that was saved, and its CID may be another now (section 5.10.6.7). */
        to_vsock(d)->reset_owed = s->activated;
        return 0;
}

/* --- new and free --- */

static void let_go(struct vsock *v)
{
        vsock_listener_free(v->listener);
        free(v->path);
        later_close(&v->next_turn);
        free(v);
}

static void vsock_free(struct virtio_device *d)
{
        virtio_device_fini(d);
        let_go(to_vsock(d));
}

static const struct virtio_ops vsock_ops = {
        .kind = VIRTIO_VSOCK,
        .read_config = vsock_read_config,
        .begin = vsock_begin,
        .kicked = vsock_kicked,
        .ready = vsock_ready,
        .end = vsock_end,
        .save = vsock_save,
        .load = vsock_load,
        .free = vsock_free,
};

static bool cid_is_good(uint64_t cid)
{
        return cid >= VSOCK_CID_GUEST_MIN && cid <= VSOCK_CID_GUEST_MAX;
}

static int choose_cid(const struct device_config *c, const struct virtio_state *saved, uint64_t *ret, struct err *e)
{
        uint64_t cid = saved && !c->guest_cid ? saved->u.vsock.guest_cid : c->guest_cid;

        if (!cid_is_good(cid) && saved && !c->guest_cid)
                return err_bad(e, "state", ERR_NO_OFFSET,
                               "vsock in slot %u: CID: expected %d to %u, found %llu; give it one: --vsock cid=N", c->slot,
                               VSOCK_CID_GUEST_MIN, VSOCK_CID_GUEST_MAX, (unsigned long long)cid);
        if (!cid_is_good(cid))
                return err_usage(e, "vsock in slot %u: cid=: expected %d to %u, found %llu", c->slot, VSOCK_CID_GUEST_MIN,
                                 VSOCK_CID_GUEST_MAX, (unsigned long long)cid);
        *ret = cid;
        return 0;
}

static int choose_features(const struct virtio_state *saved, uint32_t slot, uint64_t *ret, struct err *e)
{
        uint64_t cannot = saved ? saved->driver_features & VHOST_OFFERS & ~VHOST_HONOURED : 0;

        if (cannot)
                return err_bad(e, "state", ERR_NO_OFFSET,
                               "vsock in slot %u: features that its driver accepted: expected those of vhost that it has, "
                               "found 0x%llx, which it has not", slot, (unsigned long long)cannot);
        *ret = saved ? FEATURES | VHOST_OFFERS : FEATURES;
        return 0;
}

static int open_host_side(struct vsock *v, const struct device_config *c, struct err *e)
{
        uint32_t first = 0;
        int      r;

        /* A guest that has not read its reset yet shall not mistake a new connection for one that it had before it was saved. */
        if (getrandom(&first, sizeof(first), GRND_NONBLOCK) == sizeof(first))
                v->next_host_port = first;
        if (!c->path)
                return 0;
        v->path = strdup(c->path);
        if (!v->path)
                return err_set(e, -ENOMEM, "vsock in slot %u: no memory", c->slot);
        r = vsock_listen(v->path, &v->listener, e);
        return r < 0 ? err_wrap(e, r, "vsock in slot %u", c->slot) : 0;
}

static int vsock_new(const struct device_config *c, const struct virtio_state *saved, struct virtio_env *env,
                     struct virtio_device **ret, struct err *e)
{
        static const uint16_t sizes[VSOCK_NR_QUEUES] = { QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE };
        struct vsock         *v = calloc(1, sizeof(*v));
        uint64_t              features = 0;
        int                   r;

        if (!v)
                return err_set(e, -ENOMEM, "vsock in slot %u: no memory", c->slot);
        v->last_talker = &v->talkers;
        r = later_open(&v->next_turn);
        if (r < 0)
                err_set(e, r, "vsock in slot %u: eventfd: %s", c->slot, strerror(-r));
        if (r >= 0)
                r = choose_cid(c, saved, &v->guest_cid, e);
        if (r >= 0)
                r = choose_features(saved, c->slot, &features, e);
        if (r >= 0)
                r = open_host_side(v, c, e);
        if (r >= 0)
                r = virtio_device_init(&v->d, &vsock_ops, env, features, VSOCK_NR_QUEUES, sizes, saved, e);
        if (r < 0) {
                let_go(v);
                return r;
        }
        *ret = &v->d;
        return 0;
}

const struct virtio_maker vsock_maker = { .kind = VIRTIO_VSOCK, .new = vsock_new };
