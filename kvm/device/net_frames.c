/* kvm/device/net_frames.c: frames between a card's two queues and its tap, from and to the guest's own pages.
 *
 *   guest ─► tx queue ─► writev ─► tap                       tap ─► readv ─► rx queue ─► guest
 *             EAGAIN: wait for EPOLLOUT, nothing is lost       no buffers: frames wait in the tap until the driver kicks */
#include "kvm/device/net_filter.h"
#include "kvm/device/net_internal.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#define PIECES_MAX 1024 /* of one readv or writev (UIO_MAXIOV) */
/* The largest segment that a driver may leave to us (64 KiB of IP), its Ethernet header, two VLAN tags. */
#define TX_MAX_BYTES (NET_HEADER_BYTES + 65536 + ETH_HLEN + 8)

/* --- what wakes the worker --- */

static void watch_tap(struct net *n, uint32_t events)
{
        int r = 0;

        if (events)
                r = virtio_watch(&n->d, n->tap_fd, events);
        else
                virtio_unwatch(&n->d, n->tap_fd);
        if (r < 0)
                virtio_say(&n->d, "tap %s: frames stall until the guest moves again: epoll_ctl: %s", n->tap, strerror(-r));
        n->tap_events = r < 0 ? 0 : events;
}

/* EPOLLERR comes when the interface is gone, and only then; the wake-up for it goes to who waits for something to read, and
 * EPOLLPRI is that without a frame ever being it. */
static uint32_t wanted_of_tap(const struct net *n)
{
        if (!n->cable)
                return 0;
        return EPOLLERR | EPOLLPRI | (n->rx_dry || n->rx_lost ? 0 : EPOLLIN) | (n->tx_full ? EPOLLOUT : 0);
}

void net_watch(struct net *n)
{
        uint32_t events = wanted_of_tap(n);

        if (n->tap_fd >= 0 && events != n->tap_events)
                watch_tap(n, events);
        if (!n->tx_more && !n->control_more)
                later_done(&n->next_turn, &n->d);
        else if (!later_want(&n->next_turn, &n->d))
                virtio_say(&n->d, "frames to send stall until the guest moves again: out of memory");
}

void net_set_link(struct net *n, bool up)
{
        pthread_mutex_lock(&n->lock);
        n->s.status = (uint16_t)(up ? n->s.status | NET_S_LINK_UP : n->s.status & ~NET_S_LINK_UP);
        pthread_mutex_unlock(&n->lock);
        if (net_accepted(n, NET_F_STATUS))
                virtio_config_changed(&n->d);
}

void net_cable_gone(struct net *n, int error)
{
        if (!n->cable)
                return;
        n->cable = false;
        n->tx_full = false;
        net_set_link(n, false);
        virtio_say(&n->d, "tap %s is gone (%s): its link is down until the machine is restarted", n->tap, strerror(error));
}

/* --- receive --- */

/* What is read beside the guest's pages: the header, which lacks num_buffers still, and what the filter looks at. So a frame that
 * is not for this guest never touches its memory. */
struct front {
        struct net_header header;
        uint8_t           frame[NET_FILTER_BYTES];
};
static_assert(sizeof(struct front) == NET_HEADER_BYTES + NET_FILTER_BYTES, "no padding");

static int deliver(const struct net *n, const struct virtq_chain *c, struct front *f, size_t len_bytes)
{
        size_t front_bytes = MIN(len_bytes, sizeof(*f));

        f->header.num_buffers = htole16(1);
        /* the kernel says DATA_VALID also to who did not ask (section 5.1.6.4.1: then flags are zero) */
        if (!net_accepted(n, NET_F_GUEST_CSUM))
                f->header.flags = 0;
        return virtq_chain_write(c, 0, f, front_bytes) == (ssize_t)front_bytes ? 0 : -EFAULT;
}

/* The bytes that the next frame put into the chain; 0: it was not for this guest, or too long for its buffer; -EAGAIN: there is
 * none. */
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
        if ((size_t)len < NET_HEADER_BYTES || (size_t)len > room_bytes)
                return 0;
        if (!net_filter_passes(&n->s, n->d.features, f.frame, MIN((size_t)len, sizeof(f)) - NET_HEADER_BYTES))
                return 0;
        return deliver(n, c, &f, (size_t)len) < 0 ? -EFAULT : len;
}

/* What ended a turn of receiving. */
static void receive_ended(struct net *n, int error)
{
        if (error == -EFAULT)
                n->rx_lost = true; /* the session stops the VM and says which page */
        else if (error != -EAGAIN && error != -EINTR)
                net_cable_gone(n, -error);
}

void net_receive(struct net *n)
{
        struct virtq_chain c;
        bool               have = false;
        ssize_t            len = 0;

        for (unsigned int i = 0; i < NET_BUDGET && len >= 0 && n->cable && !n->rx_lost; i++) {
                if (!have && !(have = virtio_pop(&n->d, NET_RX_QUEUE, &c))) {
                        n->rx_dry = true;
                        break;
                }
                if (c.in_bytes < NET_HEADER_BYTES) {
                        virtio_broken(&n->d, "a receive buffer: expected %zu bytes for the header at least, found %llu",
                                      NET_HEADER_BYTES, (unsigned long long)c.in_bytes);
                        return;
                }
                len = receive_into(n, &c);
                if (len <= 0)
                        continue; /* the buffer serves the next frame */
                virtq_push(n->d.queues[NET_RX_QUEUE], c.head, (uint32_t)len);
                have = false;
        }
        if (have)
                virtq_unpop(n->d.queues[NET_RX_QUEUE]);
        if (len < 0)
                receive_ended(n, (int)len);
        virtio_notify(&n->d, NET_RX_QUEUE);
}

/* --- transmit --- */

/* A frame that Ethernet or the tap could not carry is dropped, like on a wire. */
static bool sendable(const struct virtq_chain *c)
{
        return c->out_bytes >= NET_HEADER_BYTES + ETH_HLEN && c->out_bytes <= TX_MAX_BYTES && c->nr_out <= PIECES_MAX;
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
                net_cable_gone(n, errno);
        return 0; /* the interface is down, or the header makes no sense to the kernel */
}

void net_transmit(struct net *n)
{
        struct virtq_chain c;
        unsigned int       i;
        int                r = 0;

        for (i = 0; i < NET_BUDGET && !n->tx_full && !n->tx_lost && virtio_pop(&n->d, NET_TX_QUEUE, &c); i++) {
                if (c.out_bytes < NET_HEADER_BYTES) {
                        virtio_broken(&n->d, "a frame to send: expected a header of %zu bytes, found %llu bytes in all",
                                      NET_HEADER_BYTES, (unsigned long long)c.out_bytes);
                        return;
                }
                if ((r = transmit_frame(n, &c)) < 0) {
                        virtq_unpop(n->d.queues[NET_TX_QUEUE]);
                        n->tx_full = r == -EAGAIN;
                        n->tx_lost = r == -EFAULT;
                        break;
                }
                virtq_push(n->d.queues[NET_TX_QUEUE], c.head, 0);
        }
        n->tx_more = i == NET_BUDGET;
        virtio_notify(&n->d, NET_TX_QUEUE);
}
