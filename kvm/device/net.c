/* kvm/device/net.c: a virtio network card (virtio 1.2, section 5.1): frames between two queues and a tap, from and to the guest's own
 * pages.
 *
 *   guest ─► tx queue ─► writev ─► tap                       tap ─► readv ─► rx queue ─► guest
 *             EAGAIN: wait for EPOLLOUT, nothing is lost       no buffers: frames wait in the tap until the driver kicks
 *
 * Both directions stop at a budget and go on in their next turn, so that neither starves the other, the control queue or a park. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "kvm/device/later.h"
#include "kvm/device/net_filter.h"
#include "kvm/device/net_layout.h"
#include "kvm/device/tap.h"
#include "kvm/virtio/device.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RX, TX, CONTROL, NR_QUEUES };
#define QUEUE_SIZE   256 /* entries, each queue; as StratoVirt's */
#define BUDGET       256 /* chains a turn: a whole queue */
#define PIECES_MAX   1024 /* of one readv or writev (UIO_MAXIOV) */
#define HEADER_BYTES sizeof(struct net_header)
/* The largest segment that a driver may leave to us (64 KiB of IP), its Ethernet header, two VLAN tags. */
#define TX_MAX_BYTES (HEADER_BYTES + 65536 + ETH_HLEN + 8)

#define BIT(n) (1ULL << (n))
#define UFO    (BIT(NET_F_GUEST_UFO) | BIT(NET_F_HOST_UFO))
/* What StratoVirt offers (stratovirt.md 2.5): its snapshots hold it, and their drivers rely on it. */
#define FEATURES                                                                                                                      \
        (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | BIT(NET_F_CSUM) | BIT(NET_F_GUEST_CSUM) |    \
         BIT(NET_F_MAC) | BIT(NET_F_GUEST_TSO4) | BIT(NET_F_GUEST_TSO6) | BIT(NET_F_HOST_TSO4) |           \
         BIT(NET_F_HOST_TSO6) | UFO | BIT(NET_F_STATUS) | BIT(NET_F_CTRL_VQ) | BIT(NET_F_CTRL_RX) |        \
         BIT(NET_F_CTRL_VLAN) | BIT(NET_F_CTRL_RX_EXTRA) | BIT(NET_F_CTRL_MAC_ADDR))
static_assert(FEATURES == 0x1309f5da3, "as in StratoVirt's snapshots");

struct net {
        struct virtio_device d;
        /* set by new, then read-only */
        int     tap_fd; /* -1: no cable */
        uint8_t first_mac[ETH_ALEN];
        char    tap[32]; /* its name, for messages */
        /* worker thread */
        bool     cable;                 /* false: frames to send are gone, none arrive */
        bool     rx_dry, rx_lost;       /* the driver gave no buffers; a page of them is lost */
        bool     tx_full, tx_lost;      /* the tap takes no more for now; a page of a frame is lost */
        bool     tx_more, control_more; /* the budget ended before the queue did */
        bool     link_news;             /* the driver has not heard yet that the link is up */
        uint32_t tap_events;            /* watched now */
        struct later next_turn;
        /* Written by the worker under `lock`; config space is read under it by vCPUs. */
        pthread_mutex_t         lock;
        struct virtio_net_state s;
};

static struct net *to_net(struct virtio_device *d)
{
        return (struct net *)d;
}

static bool accepted(const struct net *n, unsigned int feature)
{
        return n->d.features >> feature & 1;
}

/* --- what wakes the worker --- */

static void complain(struct net *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void complain(struct net *n, const char *fmt, ...)
{
        char    text[200];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        if (n->d.env->message)
                n->d.env->message(n->d.env->arg, text);
}

static void watch_tap(struct net *n, uint32_t events)
{
        int r = 0;

        if (events)
                r = virtio_watch(&n->d, n->tap_fd, events);
        else
                virtio_unwatch(&n->d, n->tap_fd);
        if (r < 0)
                complain(n, "%s: tap %s: frames stall until the guest moves again: epoll_ctl: %s", n->d.what, n->tap, strerror(-r));
        n->tap_events = r < 0 ? 0 : events;
}

static void watch_what_is_wanted(struct net *n)
{
        /* EPOLLERR comes when the interface is gone, and only then; the wake-up for it goes to who waits for something to read, and
         * EPOLLPRI is that without a frame ever being it. */
        uint32_t events = n->cable ? EPOLLERR | EPOLLPRI | (n->rx_dry || n->rx_lost ? 0 : EPOLLIN) | (n->tx_full ? EPOLLOUT : 0) : 0;

        if (n->tap_fd >= 0 && events != n->tap_events)
                watch_tap(n, events);
        if (!n->tx_more && !n->control_more)
                later_done(&n->next_turn, &n->d);
        else if (!later_want(&n->next_turn, &n->d))
                complain(n, "%s: frames to send stall until the guest moves again: out of memory", n->d.what);
}

static void set_link(struct net *n, bool up)
{
        pthread_mutex_lock(&n->lock);
        n->s.status = (uint16_t)(up ? n->s.status | NET_S_LINK_UP : n->s.status & ~NET_S_LINK_UP);
        pthread_mutex_unlock(&n->lock);
        if (accepted(n, NET_F_STATUS))
                virtio_config_changed(&n->d);
}

/* Somebody removed the interface. The guest sees its cable pulled, and the user hears of it. */
static void cable_gone(struct net *n, int error)
{
        if (!n->cable)
                return;
        n->cable = false;
        n->tx_full = false;
        set_link(n, false);
        complain(n, "%s: tap %s is gone (%s): its link is down until the machine is restarted", n->d.what, n->tap, strerror(error));
}

/* --- receive --- */

/* What is read beside the guest's pages: the header, which lacks num_buffers still, and what the filter looks at. So a frame that is
 * not for this guest never touches its memory. */
struct front {
        struct net_header header;
        uint8_t                  frame[NET_FILTER_BYTES];
};
static_assert(sizeof(struct front) == HEADER_BYTES + NET_FILTER_BYTES, "no padding");

static int deliver(const struct net *n, const struct virtq_chain *c, struct front *f, size_t len_bytes)
{
        size_t front_bytes = MIN(len_bytes, sizeof(*f));

        f->header.num_buffers = htole16(1);
        /* the kernel says DATA_VALID also to who did not ask (section 5.1.6.4.1: then flags are zero) */
        if (!accepted(n, NET_F_GUEST_CSUM))
                f->header.flags = 0;
        return virtq_chain_write(c, 0, f, front_bytes) == (ssize_t)front_bytes ? 0 : -EFAULT;
}

/* The bytes that the next frame put into the chain; 0: it was not for this guest, or too long for its buffer; -EAGAIN: there is none. */
static ssize_t receive_into(struct net *n, const struct virtq_chain *c)
{
        struct front f;
        uint8_t      past_end; /* filled only by a frame that does not fit */
        struct iovec v[PIECES_MAX] = { { .iov_base = &f, .iov_len = sizeof(f) } };
        size_t       room_bytes = MIN(c->in_bytes, sizeof(f)), nr = 1;
        ssize_t      len;

        if (c->in_bytes > sizeof(f))
                nr += virtq_chain_slice(c, true, sizeof(f), c->in_bytes - sizeof(f), v + 1, PIECES_MAX - 2);
        for (size_t i = 1; i < nr; i++)
                room_bytes += v[i].iov_len;
        v[nr++] = (struct iovec){ .iov_base = &past_end, .iov_len = sizeof(past_end) };

        len = readv(n->tap_fd, v, (int)nr);
        if (len < 0)
                return -errno;
        if ((size_t)len < HEADER_BYTES || (size_t)len > room_bytes)
                return 0;
        if (!net_filter_passes(&n->s, n->d.features, f.frame, MIN((size_t)len, sizeof(f)) - HEADER_BYTES))
                return 0;
        return deliver(n, c, &f, (size_t)len) < 0 ? -EFAULT : len;
}

/* What ended a turn of receiving. */
static void receive_ended(struct net *n, int error)
{
        if (error == -EFAULT)
                n->rx_lost = true; /* the session stops the VM and says which page */
        else if (error != -EAGAIN && error != -EINTR)
                cable_gone(n, -error);
}

static void receive(struct net *n)
{
        struct virtq_chain c;
        bool               have = false;
        ssize_t            len = 0;

        for (unsigned int i = 0; i < BUDGET && len >= 0 && n->cable && !n->rx_lost; i++) {
                if (!have && !(have = virtio_pop(&n->d, RX, &c))) {
                        n->rx_dry = true;
                        break;
                }
                if (c.in_bytes < HEADER_BYTES) {
                        virtio_broken(&n->d, "a receive buffer: expected %zu bytes for the header at least, found %llu", HEADER_BYTES,
                                      (unsigned long long)c.in_bytes);
                        return;
                }
                len = receive_into(n, &c);
                if (len <= 0)
                        continue; /* the buffer serves the next frame */
                virtq_push(n->d.queues[RX], c.head, (uint32_t)len);
                have = false;
        }
        if (have)
                virtq_unpop(n->d.queues[RX]);
        if (len < 0)
                receive_ended(n, (int)len);
        virtio_notify(&n->d, RX);
}

/* --- transmit --- */

/* A frame that Ethernet or the tap could not carry is dropped, like on a wire. */
static bool sendable(const struct virtq_chain *c)
{
        return c->out_bytes >= HEADER_BYTES + ETH_HLEN && c->out_bytes <= TX_MAX_BYTES && c->nr_out <= PIECES_MAX;
}

/* 0: the frame is sent, or dropped; -EAGAIN: the tap is full; -EFAULT: its pages are lost. */
static int transmit_frame(struct net *n, const struct virtq_chain *c)
{
        int r;

        if (!n->cable || !sendable(c))
                return 0;
        if ((r = virtio_fetch(&n->d, c->iov, c->nr_out)) < 0)
                return r;
        if (writev(n->tap_fd, c->iov, c->nr_out) >= 0)
                return 0;
        if (errno == EAGAIN || errno == EFAULT)
                return -errno;
        if (errno == EBADFD || errno == ENODEV)
                cable_gone(n, errno);
        return 0; /* the interface is down, or the header makes no sense to the kernel */
}

static void transmit(struct net *n)
{
        struct virtq_chain c;
        unsigned int       i;
        int                r = 0;

        for (i = 0; i < BUDGET && !n->tx_full && !n->tx_lost && virtio_pop(&n->d, TX, &c); i++) {
                if (c.out_bytes < HEADER_BYTES) {
                        virtio_broken(&n->d, "a frame to send: expected a header of %zu bytes, found %llu bytes in all", HEADER_BYTES,
                                      (unsigned long long)c.out_bytes);
                        return;
                }
                if ((r = transmit_frame(n, &c)) < 0) {
                        virtq_unpop(n->d.queues[TX]);
                        n->tx_full = r == -EAGAIN;
                        n->tx_lost = r == -EFAULT;
                        break;
                }
                virtq_push(n->d.queues[TX], c.head, 0);
        }
        n->tx_more = i == BUDGET;
        virtio_notify(&n->d, TX);
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

        for (i = 0; i < BUDGET && virtio_pop(&n->d, CONTROL, &c); i++) {
                if (!c.in_bytes) {
                        virtio_broken(&n->d, "a control command: expected a byte for the answer, found none");
                        return;
                }
                if (obey(n, &c) < 0) {
                        virtq_unpop(n->d.queues[CONTROL]);
                        break;
                }
                virtq_push(n->d.queues[CONTROL], c.head, sizeof(uint8_t));
        }
        n->control_more = i == BUDGET;
        virtio_notify(&n->d, CONTROL);
}

/* --- worker --- */

static void net_kicked(struct virtio_device *d, uint16_t queue)
{
        struct net *n = to_net(d);

        if (queue == RX) {
                n->rx_dry = false;
                receive(n);
        } else if (queue == TX && !n->tx_full) {
                transmit(n);
        } else if (queue == CONTROL) {
                control(n);
        }
        watch_what_is_wanted(n);
}

static void net_ready(struct virtio_device *d, int fd, uint32_t events)
{
        struct net *n = to_net(d);

        if (fd == n->tap_fd) {
                if (events & EPOLLERR)
                        cable_gone(n, EBADFD);
                if (events & EPOLLOUT)
                        n->tx_full = false;
                if (events & EPOLLIN)
                        receive(n);
        }
        if (n->control_more)
                control(n);
        if (!n->tx_full && (n->tx_more || events & EPOLLOUT))
                transmit(n);
        watch_what_is_wanted(n);
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
                set_link(n, true);
        n->link_news = false;
        later_begin(&n->next_turn);
        watch_what_is_wanted(n);
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
        struct net              *n = to_net(d);
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
                return err_bad(e, "state", ERR_NO_OFFSET, "%s: receive filters: expected at most %d addresses of a kind, found %u and %u", d->what,
                               VIRTIO_NET_MACS_MAX, s->u.net.nr_uni, s->u.net.nr_multi);
        n->s = s->u.net;
        n->s.has_filters = n->s.has_filters && s->activated; /* the next driver begins anew */
        /* A card that had no cable gets one: its driver must hear of it. One whose format knows no status shows what it showed. */
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
                return err_bad(e, "state", ERR_NO_OFFSET, "net in slot %u: expected the MAC " MAC_FORMAT " that was asked for, found " MAC_FORMAT
                               "; leave mac= out: a guest that goes on keeps its own", c->slot, MAC_ARGS(c->mac), MAC_ARGS(saved->u.net.mac));
        if (!saved && c->has_mac && (c->mac[0] & 1))
                return err_usage(e, "net in slot %u: expected the MAC of one card, found the group address " MAC_FORMAT "; its first byte must be even",
                                 c->slot, MAC_ARGS(c->mac));
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
        n->d.env = env;
        if (made)
                complain(n, "net in slot %u: there was no tap %s: made one, which is down and connected to nothing yet", c->slot, c->tap);
        return 0;
}

/* What this card can do here. A new one does not offer what the tap refuses; a driver that has it already cannot be told. */
static int choose_features(const struct net *n, const struct virtio_state *saved, uint32_t slot, uint64_t *ret, struct err *e)
{
        bool lacks_ufo = n->cable && !tap_takes_ufo(n->tap_fd);

        if (lacks_ufo && saved && (saved->driver_features & UFO))
                return err_host(e, -EOPNOTSUPP, "net in slot %u: its driver uses UFO (features 0x%llx), which taps of this kernel do not take; "
                                "restore it on a kernel whose taps do, or without a tap", slot, (unsigned long long)(saved->driver_features & UFO));
        *ret = lacks_ufo && !saved ? FEATURES & ~UFO : FEATURES;
        return 0;
}

static int net_new(const struct device_config *c, const struct virtio_state *saved, struct virtio_env *env, struct virtio_device **ret,
                   struct err *e)
{
        static const uint16_t sizes[NR_QUEUES] = { QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE };
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
                r = virtio_device_init(&n->d, &net_ops, env, features, NR_QUEUES, sizes, saved, e);
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
