/* tests/unit/kvm/net_rig.h: a network card on a real tap, in a network namespace of the test's own; the driver's side by
 * virtio_rig.h, the cable's other end by a packet socket on the tap's interface.
 * Owns:    RAM, device and socket until card_free; the interface goes with the namespace.
 * Threads: the test's; the device has its worker.
 * Blocks:  card_hear and card_receive up to 20 s, then the test fails. */
#pragma once

#include "core/base/cleanup.h"
#include "kvm/device/net_layout.h"
#include "tests/support/need.h"
#include "tests/unit/kvm/virtio_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define CARD_TAP      "rouse0"
#define CARD_TYPE     0x88b5 /* of frames: for local experiments (IEEE 802) */
#define CARD_FEATURES 0x1309f5da3ULL
#define CARD_PLAIN    (CARD_FEATURES & ~VIRTIO_F_EVENT_IDX) /* an interrupt per flush: they can be counted */
#define CARD_BUFFER   2048

enum { CARD_RX, CARD_TX, CARD_CONTROL };

struct card {
        struct rig           *r;
        struct device_config  config;
        struct virtio_device *d;
        struct rig_device     t;
        int                   cable; /* the packet socket */
};

static const uint8_t card_mac[ETH_ALEN] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
static const uint8_t other_mac[ETH_ALEN] = { 0x02, 0, 0, 0, 0, 0x99 };
static const uint8_t group_mac[ETH_ALEN] = { 0x33, 0x33, 0, 0, 0, 0x01 };
static const uint8_t all_mac[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static inline void card_make_tap(const char *name)
{
        _cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
        _cleanup_close_ int quiet = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
        _cleanup_close_ int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq        r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

        if (quiet >= 0)
                cr_assert_eq(write(quiet, "1", 1), 1);
        snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
        cr_assert_eq(ioctl(fd, TUNSETIFF, &r), 0, "%s", strerror(errno));
        cr_assert_eq(ioctl(fd, TUNSETPERSIST, 1), 0);
        r.ifr_flags = IFF_UP | IFF_NOARP;
        cr_assert_eq(ioctl(s, SIOCSIFFLAGS, &r), 0);
}

/* Frames as the interface gets them; vnet: with a virtio header of 10 bytes before each. */
static inline int card_open_cable(bool vnet)
{
        int                s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1;
        struct ifreq       r = { 0 };
        struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

        snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", CARD_TAP);
        cr_assert_geq(s, 0);
        cr_assert_eq(ioctl(s, SIOCGIFINDEX, &r), 0);
        a.sll_ifindex = r.ifr_ifindex;
        if (vnet)
                cr_assert_eq(setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
        cr_assert_eq(setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
        cr_assert_eq(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
        return s;
}

/* RAM, namespace, tap; no device yet. */
static inline struct card *card_new(void)
{
        struct card *c = calloc(1, sizeof(*c));

        need_tap();
        card_make_tap(CARD_TAP);
        c->r = rig_new();
        c->config = (struct device_config){ .kind = VIRTIO_NET, .slot = 4, .tap = CARD_TAP };
        c->cable = card_open_cable(false);
        return c;
}

static inline int card_make(struct card *c, const struct virtio_state *saved, struct err *e)
{
        return net_maker.new(&c->config, saved, &c->r->env, &c->d, e);
}

/* The kernel puts an interface to use in a worker of its own some time after it has a carrier, and until then drops in silence
 * what is sent to it. IFF_RUNNING comes just before; the worker holds the lock that setting flags takes, so after that it is
 * done. */
static inline void card_await_carrier(const char *name)
{
        _cleanup_close_ int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq        r = { 0 };

        snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
        for (int i = 0; i < 200000; i++) {
                cr_assert_eq(ioctl(s, SIOCGIFFLAGS, &r), 0, "%s", strerror(errno));
                if (!(r.ifr_flags & IFF_UP))
                        return; /* and will not come to use */
                if (r.ifr_flags & IFF_RUNNING)
                        break;
                rig_nap();
        }
        cr_assert(r.ifr_flags & IFF_RUNNING, "%s has no carrier", name);
        r.ifr_flags = IFF_UP | IFF_NOARP;
        cr_assert_eq(ioctl(s, SIOCSIFFLAGS, &r), 0, "%s", strerror(errno));
}

static inline void card_start(struct card *c, uint64_t features, uint16_t queue_size)
{
        struct err e = { 0 };

        if (!c->d)
                cr_assert_eq(card_make(c, NULL, &e), 0, "%s", e.text);
        rig_device_start(&c->t, c->r, c->d, features, queue_size);
        virtio_device_park(c->d); /* it has begun then: offloads are set, the tap is watched */
        virtio_device_resume(c->d);
        if (c->config.tap)
                card_await_carrier(c->config.tap);
}

static inline struct card *card_started(uint64_t features, uint16_t queue_size)
{
        struct card *c = card_new();

        card_start(c, features, queue_size);
        return c;
}

static inline void card_free(struct card *c)
{
        if (c->t.d)
                rig_device_free(&c->t);
        else if (c->d)
                c->d->ops->free(c->d);
        rig_free(c->r);
        close(c->cable);
        free(c);
}

/* --- the cable's end --- */

/* A frame to dst, its payload counted up from seed. Returns its length. */
static inline size_t card_frame(uint8_t *f, const uint8_t *dst, size_t len, uint8_t seed)
{
        const struct ethhdr h = { .h_proto = htons(CARD_TYPE), .h_source = { 2, 0, 0, 0, 0, 1 } };

        memcpy(f, &h, sizeof(h));
        memcpy(f, dst, ETH_ALEN);
        for (size_t i = sizeof(h); i < len; i++)
                f[i] = (uint8_t)(seed + i);
        return len;
}

static inline void card_say(struct card *c, const uint8_t *dst, size_t len, uint8_t seed)
{
        uint8_t f[4096];

        cr_assert_eq(send(c->cable, f, card_frame(f, dst, len, seed), 0), (ssize_t)len, "%s", strerror(errno));
}

/* The next frame of the experiment's type that the card sent; -1: none within wait_ms. */
static inline ssize_t card_hear(struct card *c, uint8_t *f, size_t size, int wait_ms)
{
        struct pollfd p = { .fd = c->cable, .events = POLLIN };

        while (poll(&p, 1, wait_ms) == 1) {
                ssize_t n = recv(c->cable, f, size, 0);

                if (n >= ETH_HLEN && f[12] == CARD_TYPE >> 8 && f[13] == (CARD_TYPE & 0xff))
                        return n;
        }
        return -1;
}

/* --- the driver --- */

/* One receive buffer, not kicked. */
static inline gpa_t card_offer(struct card *c, uint32_t len)
{
        gpa_t gpa = rig_alloc(c->r, len, 16);

        rig_send(&c->t.q[CARD_RX], &(struct rig_buf){ gpa, len, true }, 1);
        return gpa;
}

static inline gpa_t card_transmit(struct card *c, const void *bytes, uint32_t len)
{
        gpa_t gpa = rig_alloc(c->r, len, 16);

        rig_poke(c->r, gpa, bytes, len);
        rig_send(&c->t.q[CARD_TX], &(struct rig_buf){ gpa, len, false }, 1);
        rig_kick(&c->t, CARD_TX);
        return gpa;
}

/* A command with its data: the answer, 0xee if the device wrote none. */
static inline uint8_t card_command(struct card *c, uint8_t class, uint8_t command, const void *data, uint32_t len)
{
        gpa_t gpa = rig_alloc(c->r, 2 + len, 16), ack = rig_alloc(c->r, 1, 16);

        rig_poke(c->r, gpa, (uint8_t[]){ class, command }, 2);
        rig_poke(c->r, gpa + 2, data, len);
        rig_poke(c->r, ack, "\xee", 1);
        /* in three pieces, as Linux sends it: header, data, answer */
        rig_send(&c->t.q[CARD_CONTROL], (struct rig_buf[]){ { gpa, 2, false }, { gpa + 2, len, false }, { ack, 1, true } }, 3);
        rig_kick(&c->t, CARD_CONTROL);
        rig_wait_used(&c->t.q[CARD_CONTROL]);
        return rig_byte(c->r, ack);
}

static inline uint8_t card_mode(struct card *c, uint8_t mode, uint8_t on)
{
        return card_command(c, NET_RX, mode, &on, sizeof(on));
}

/* Does a frame like that reach the guest? One that always does, to the card's own address, is sent after it, so that nobody waits
 * for nothing. */
static inline bool card_reaches(struct card *c, const uint8_t *frame, size_t len)
{
        gpa_t           gpa[2] = { card_offer(c, CARD_BUFFER), card_offer(c, CARD_BUFFER) };
        struct rig_used u;
        uint8_t         first;

        rig_kick(&c->t, CARD_RX);
        cr_assert_eq(send(c->cable, frame, len, 0), (ssize_t)len, "%s", strerror(errno));
        card_say(c, card_mac, 60, 0x77);
        u = rig_wait_used(&c->t.q[CARD_RX]);
        first = rig_byte(c->r, gpa[0] + 12 + 59);
        if (u.len == 12 + 60 && first == (uint8_t)(0x77 + 59)) { /* the frame after it: it did not pass */
                card_say(c, card_mac, 60, 0x11); /* the other buffer comes back, too */
                rig_wait_used(&c->t.q[CARD_RX]);
                return false;
        }
        rig_wait_used(&c->t.q[CARD_RX]);
        return true;
}

static inline bool card_takes(struct card *c, const uint8_t *dst)
{
        uint8_t f[100];

        return card_reaches(c, f, card_frame(f, dst, sizeof(f), 0x22));
}

static inline bool card_takes_vlan(struct card *c, uint16_t id)
{
        uint8_t f[100];

        card_frame(f, card_mac, sizeof(f), 0x33);
        f[12] = 0x81;
        f[13] = 0x00;
        f[14] = (uint8_t)(id >> 8);
        f[15] = (uint8_t)id;
        return card_reaches(c, f, sizeof(f));
}
