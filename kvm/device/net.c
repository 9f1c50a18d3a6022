/* kvm/device/net.c: a virtio network card (virtio 1.2, section 5.1): what its driver finds, asks for and leaves behind. */
#include "kvm/device/net_filter.h"
#include "kvm/device/net_internal.h"
#include "kvm/device/tap.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define QUEUE_SIZE 256 /* entries, each queue; as StratoVirt's */

#define BIT(n) (1ULL << (n))
#define UFO    (BIT(NET_F_GUEST_UFO) | BIT(NET_F_HOST_UFO))
/* What StratoVirt offers (stratovirt.md 2.5): its snapshots hold it, and their drivers rely on it. */
#define FEATURES                                                                                                              \
        (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | BIT(NET_F_CSUM) | BIT(NET_F_GUEST_CSUM) |         \
         BIT(NET_F_MAC) | BIT(NET_F_GUEST_TSO4) | BIT(NET_F_GUEST_TSO6) | BIT(NET_F_HOST_TSO4) | BIT(NET_F_HOST_TSO6) | UFO | \
         BIT(NET_F_STATUS) | BIT(NET_F_CTRL_VQ) | BIT(NET_F_CTRL_RX) | BIT(NET_F_CTRL_VLAN) | BIT(NET_F_CTRL_RX_EXTRA) |      \
         BIT(NET_F_CTRL_MAC_ADDR))
static_assert(FEATURES == 0x1309f5da3, "as in StratoVirt's snapshots");

static struct net *to_net(struct virtio_device *d)
{
        return (struct net *)d;
}

/* --- control --- */

/* 0, or -EFAULT. */
static int obey(struct net *n, const struct virtq_chain *c)
{
        struct virtio_net_state next = n->s;
        int                     result = net_control(&next, n->d.features, c);
        uint8_t                 ack = (uint8_t)result;

        if (result < 0)
                return result;
        if (result == NET_OK) {
                pthread_mutex_lock(&n->lock);
                n->s = next;
                pthread_mutex_unlock(&n->lock);
        }
        return virtq_chain_write(c, 0, &ack, sizeof(ack)) == sizeof(ack) ? 0 : -EFAULT;
}

static void control(struct net *n)
{
        struct virtq_chain c;
        unsigned int       i;

        for (i = 0; i < NET_BUDGET && virtio_pop(&n->d, NET_CONTROL_QUEUE, &c); i++) {
                if (!c.in_bytes) {
                        virtio_broken(&n->d, "a control command: expected a byte for the answer, found none");
                        return;
                }
                if (obey(n, &c) < 0) {
                        virtq_unpop(n->d.queues[NET_CONTROL_QUEUE]);
                        break;
                }
                virtq_push(n->d.queues[NET_CONTROL_QUEUE], c.head, sizeof(uint8_t));
        }
        n->control_more = i == NET_BUDGET;
        virtio_notify(&n->d, NET_CONTROL_QUEUE);
}

/* --- worker --- */

static void net_kicked(struct virtio_device *d, uint16_t queue)
{
        struct net *n = to_net(d);

        if (queue == NET_RX_QUEUE) {
                n->rx_dry = false;
                net_receive(n);
        } else if (queue == NET_TX_QUEUE && !n->tx_full) {
                net_transmit(n);
        } else if (queue == NET_CONTROL_QUEUE) {
                control(n);
        }
        net_watch(n);
}

static void net_ready(struct virtio_device *d, int fd, uint32_t events)
{
        struct net *n = to_net(d);

        if (fd == n->tap_fd) {
                if (events & EPOLLERR)
                        net_cable_gone(n, EBADFD);
                if (events & EPOLLOUT)
                        n->tx_full = false;
                if (events & EPOLLIN)
                        net_receive(n);
        }
        if (n->control_more)
                control(n);
        if (!n->tx_full && (n->tx_more || events & EPOLLOUT))
                net_transmit(n);
        net_watch(n);
}

static int net_begin(struct virtio_device *d, struct err *e)
{
        struct net *n = to_net(d);
        int         r = n->tap_fd >= 0 ? tap_set_offloads(n->tap_fd, d->features) : 0;

        if (r < 0)
                return err_host(e, r, "tap %s refuses the offloads that the guest accepted (features 0x%llx): %s", n->tap,
                                (unsigned long long)d->features, strerror(-r));
        if (!n->s.has_filters) {
                pthread_mutex_lock(&n->lock);
                net_filter_default(&n->s);
                pthread_mutex_unlock(&n->lock);
        }
        if (n->link_news)
                net_set_link(n, true);
        n->link_news = false;
        later_begin(&n->next_turn);
        net_watch(n);
        return 0;
}

/* The next driver finds a card as after power-on. */
static void net_end(struct virtio_device *d)
{
        struct net *n = to_net(d);

        if (n->tap_fd >= 0) {
                virtio_unwatch(d, n->tap_fd);
                /* what waits for the driver that is gone may have offloads that the next one does not know */
                tap_set_offloads(n->tap_fd, 0);
                tap_discard(n->tap_fd);
        }
        later_done(&n->next_turn, d);
        n->tap_events = 0;
        n->rx_dry = n->rx_lost = n->tx_full = n->tx_lost = n->tx_more = n->control_more = false;
        pthread_mutex_lock(&n->lock);
        net_filter_default(&n->s);
        n->s.has_filters = false;
        memcpy(n->s.mac, n->first_mac, sizeof(n->s.mac));
        pthread_mutex_unlock(&n->lock);
}

/* --- config space --- */

static void net_read_config(struct virtio_device *d, uint32_t offset, uint8_t *ret, uint32_t len)
{
        struct net       *n = to_net(d);
        struct net_config c = { 0 };

        pthread_mutex_lock(&n->lock);
        memcpy(c.mac, n->s.mac, sizeof(c.mac));
        c.status = htole16(n->s.status);
        c.max_virtqueue_pairs = htole16(n->s.max_pairs);
        c.mtu = htole16(n->s.mtu);
        pthread_mutex_unlock(&n->lock);
        memset(ret, 0, len);
        if (offset < sizeof(c))
                memcpy(ret, (const uint8_t *)&c + offset, MIN(len, sizeof(c) - offset));
}

/* --- save and load --- */

static int net_save(struct virtio_device *d, struct virtio_state *ret, struct err *e)
{
        struct net *n = to_net(d);

        (void)e;
        ret->u.net = n->s;
        return 0;
}

static int net_load(struct virtio_device *d, const struct virtio_state *s, struct err *e)
{
        struct net *n = to_net(d);

        if (s->u.net.nr_uni > VIRTIO_NET_MACS_MAX || s->u.net.nr_multi > VIRTIO_NET_MACS_MAX)
                return err_bad(e, "state", ERR_NO_OFFSET,
                               "%s: receive filters: expected at most %d addresses of a kind, found %u and %u", d->what,
                               VIRTIO_NET_MACS_MAX, s->u.net.nr_uni, s->u.net.nr_multi);
        n->s = s->u.net;
        n->s.has_filters = n->s.has_filters && s->activated; /* the next driver begins anew */
        /* A card that had no cable gets one: its driver must hear of it. One that never offered a status shows what it showed. */
        if (n->cable && (s->device_features & BIT(NET_F_STATUS)) && !(n->s.status & NET_S_LINK_UP)) {
                n->s.status |= NET_S_LINK_UP;
                n->link_news = s->activated;
        }
        return 0;
}

/* --- new and free --- */

static void let_go(struct net *n)
{
        if (n->tap_fd >= 0)
                close(n->tap_fd);
        later_close(&n->next_turn);
        pthread_mutex_destroy(&n->lock);
        free(n);
}

static void net_free(struct virtio_device *d)
{
        virtio_device_fini(d);
        let_go(to_net(d));
}

static const struct virtio_ops net_ops = {
        .kind = VIRTIO_NET,
        .read_config = net_read_config,
        .begin = net_begin,
        .kicked = net_kicked,
        .ready = net_ready,
        .end = net_end,
        .save = net_save,
        .load = net_load,
        .free = net_free,
};

#define MAC_FORMAT  "%02x:%02x:%02x:%02x:%02x:%02x"
#define MAC_ARGS(m) (m)[0], (m)[1], (m)[2], (m)[3], (m)[4], (m)[5]

/* StratoVirt counts its cards from 52:54:00:12:34:56 up, and its first is in slot 4. */
static void default_mac(uint32_t slot, uint8_t *ret)
{
        const uint8_t first[ETH_ALEN] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

        memcpy(ret, first, sizeof(first));
        if (slot != VIRTIO_SLOT_UNKNOWN)
                ret[5] = (uint8_t)(first[5] + slot - 4);
}

static int choose_mac(const struct device_config *c, const struct virtio_state *saved, uint8_t *ret, struct err *e)
{
        if (saved && c->has_mac && memcmp(saved->u.net.mac, c->mac, ETH_ALEN))
                return err_bad(e, "state", ERR_NO_OFFSET,
                               "net in slot %u: expected the MAC " MAC_FORMAT " that was asked for, found " MAC_FORMAT
                               "; leave mac= out: a guest that goes on keeps its own",
                               c->slot, MAC_ARGS(c->mac), MAC_ARGS(saved->u.net.mac));
        if (!saved && c->has_mac && (c->mac[0] & 1))
                return err_usage(e, "net in slot %u: expected the MAC of one card, found the group address " MAC_FORMAT
                                 "; its first byte must be even", c->slot, MAC_ARGS(c->mac));
        if (saved)
                memcpy(ret, saved->u.net.mac, ETH_ALEN);
        else if (c->has_mac)
                memcpy(ret, c->mac, ETH_ALEN);
        else
                default_mac(c->slot, ret);
        return 0;
}

static int plug_in(struct net *n, const struct device_config *c, struct virtio_env *env, struct err *e)
{
        bool made;
        int  r = tap_open(c->tap, &n->tap_fd, &made, e);

        if (r < 0)
                return err_wrap(e, r, "net in slot %u", c->slot);
        n->cable = true;
        snprintf(n->tap, sizeof(n->tap), "%s", c->tap);
        /* virtio_device_init comes later and begins anew */
        n->d.env = env;
        snprintf(n->d.what, sizeof(n->d.what), "net in slot %u", c->slot);
        if (made)
                virtio_say(&n->d, "there was no tap %s: made one, which is down and connected to nothing", c->tap);
        return 0;
}

/* What this card can do here. A new one does not offer what the tap refuses; a driver that has it already cannot be told. */
static int choose_features(const struct net *n, const struct virtio_state *saved, uint32_t slot, uint64_t *ret, struct err *e)
{
        bool lacks_ufo = n->cable && !tap_takes_ufo(n->tap_fd);

        if (lacks_ufo && saved && (saved->driver_features & UFO))
                return err_host(e, -EOPNOTSUPP,
                                "net in slot %u: its driver uses UFO (features 0x%llx), which taps of this kernel do not take; "
                                "restore it on a kernel whose taps do, or without a tap",
                                slot, (unsigned long long)(saved->driver_features & UFO));
        *ret = lacks_ufo && !saved ? FEATURES & ~UFO : FEATURES;
        return 0;
}

static int net_new(const struct device_config *c, const struct virtio_state *saved, struct virtio_env *env,
                   struct virtio_device **ret, struct err *e)
{
        static const uint16_t sizes[NET_NR_QUEUES] = { QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE };
        struct net           *n = calloc(1, sizeof(*n));
        uint64_t              features = 0;
        int                   r;

        if (!n)
                return err_set(e, -ENOMEM, "net in slot %u: no memory", c->slot);
        pthread_mutex_init(&n->lock, NULL);
        n->tap_fd = -1;
        r = later_open(&n->next_turn);
        if (r < 0)
                err_set(e, r, "net in slot %u: eventfd: %s", c->slot, strerror(-r));
        if (r >= 0)
                r = choose_mac(c, saved, n->first_mac, e);
        if (r >= 0 && c->tap)
                r = plug_in(n, c, env, e);
        if (r >= 0)
                r = choose_features(n, saved, c->slot, &features, e);
        if (r >= 0)
                r = virtio_device_init(&n->d, &net_ops, env, features, NET_NR_QUEUES, sizes, saved, e);
        if (r < 0) {
                let_go(n);
                return r;
        }
        memcpy(n->s.mac, n->first_mac, ETH_ALEN);
        n->s.status = n->cable ? NET_S_LINK_UP : 0;
        *ret = &n->d;
        return 0;
}

const struct virtio_maker net_maker = { .kind = VIRTIO_NET, .new = net_new };
