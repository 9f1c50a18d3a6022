/* tests/unit/kvm/vsock_rig.h: a vsock device over real unix sockets, and a guest that speaks packets: what it sends is written
 * out by each test, so that it may be wrong.
 * Owns:    RAM, device, directory until guest_free; sockets are the test's.
 * Threads: the test's; the device has its worker.
 * Blocks:  guest_hears and host_reads up to 20 s, then the test fails. */
#pragma once

#include "core/base/cleanup.h"
#include "kvm/device/vsock_layout.h"
#include "tests/support/tmpdir.h"
#include "tests/unit/kvm/virtio_rig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define GUEST_CID       77
#define GUEST_FEATURES  (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)
#define GUEST_BUFFER    4096 /* of receive, header and all, as Linux has them */
#define GUEST_BUF_ALLOC (256 * 1024)

enum { VSOCK_RX, VSOCK_TX, VSOCK_EVENTS };

struct guest {
        struct rig           *r;
        struct tmpdir         dir;
        char                  path[PATH_MAX + 8];
        struct device_config  config;
        struct virtio_device *d;
        struct rig_device     t;
        gpa_t                 rx_gpa[256]; /* by head */
        gpa_t                 tx_gpa;
        uint32_t              buf_alloc, fwd_cnt; /* what the next packets say */
};

struct packet {
        struct vsock_header h;
        uint8_t             data[GUEST_BUFFER];
};

/* RAM and a path; no device yet. */
static inline struct guest *guest_new(void)
{
        struct guest *g = calloc(1, sizeof(*g));

        g->r = rig_new();
        g->dir = tmpdir_new();
        snprintf(g->path, sizeof(g->path), "%s/v", g->dir.path);
        g->config = (struct device_config){ .kind = VIRTIO_VSOCK, .slot = 6, .path = g->path, .guest_cid = GUEST_CID };
        g->tx_gpa = rig_alloc(g->r, 2 * MIB, 4096);
        g->buf_alloc = GUEST_BUF_ALLOC;
        return g;
}

static inline int guest_make(struct guest *g, const struct virtio_state *saved, struct err *e)
{
        return vsock_maker.new(&g->config, saved, &g->r->env, &g->d, e);
}

/* nr receive buffers more; at most 256 in all. */
static inline void guest_offer(struct guest *g, unsigned int nr)
{
        for (unsigned int i = 0; i < nr; i++) {
                gpa_t    gpa = rig_alloc(g->r, GUEST_BUFFER, 64);
                uint16_t head = rig_send(&g->t.q[VSOCK_RX], &(struct rig_buf){ gpa, GUEST_BUFFER, true }, 1);

                g->rx_gpa[head] = gpa;
        }
        rig_kick(&g->t, VSOCK_RX);
}

static inline struct guest *guest_started_with(unsigned int buffers)
{
        struct guest *g = guest_new();
        struct err    e = { 0 };

        cr_assert_eq(guest_make(g, NULL, &e), 0, "%s", e.text);
        rig_device_start(&g->t, g->r, g->d, GUEST_FEATURES, 256);
        guest_offer(g, buffers);
        return g;
}

static inline struct guest *guest_started(void)
{
        return guest_started_with(64);
}

static inline void guest_free(struct guest *g)
{
        if (g->t.d)
                rig_device_free(&g->t);
        else if (g->d)
                g->d->ops->free(g->d);
        rig_free(g->r);
        tmpdir_free(&g->dir);
        free(g);
}

/* --- packets --- */

/* Chain and packet as they are told, whatever they say; the device takes it before this returns, if it does within wait_ms. */
static inline bool guest_sends(struct guest *g, struct vsock_header h, const void *data, size_t len, unsigned int wait_ms)
{
        struct rig_buf  b[] = { { g->tx_gpa, sizeof(h), false }, { g->tx_gpa + sizeof(h), (uint32_t)len, false } };
        struct rig_used u;

        rig_poke(g->r, g->tx_gpa, &h, sizeof(h));
        rig_poke(g->r, g->tx_gpa + sizeof(h), data, len);
        /* header and data apart, as Linux sends them */
        rig_send(&g->t.q[VSOCK_TX], b, len ? 2 : 1);
        rig_kick(&g->t, VSOCK_TX);
        for (unsigned int i = 0; i < wait_ms * 10; i++) {
                if (rig_take_used(&g->t.q[VSOCK_TX], &u))
                        return true;
                rig_nap();
        }
        return false;
}

static inline struct vsock_header guest_header(const struct guest *g, uint16_t op, uint32_t guest_port, uint32_t host_port)
{
        return (struct vsock_header){ .src_cid = GUEST_CID, .dst_cid = VSOCK_CID_HOST, .src_port = guest_port,
                                      .dst_port = host_port, .type = VSOCK_STREAM, .op = op, .buf_alloc = g->buf_alloc,
                                      .fwd_cnt = g->fwd_cnt };
}

static inline void guest_says(struct guest *g, uint16_t op, uint32_t guest_port, uint32_t host_port, uint32_t flags)
{
        struct vsock_header h = guest_header(g, op, guest_port, host_port);

        h.flags = flags;
        cr_assert(guest_sends(g, h, NULL, 0, 20000));
}

static inline void guest_writes(struct guest *g, uint32_t guest_port, uint32_t host_port, const void *data, uint32_t len)
{
        struct vsock_header h = guest_header(g, VSOCK_RW, guest_port, host_port);

        h.len = len;
        cr_assert(guest_sends(g, h, data, len, 20000));
}

/* The next packet for the guest within wait_ms; its buffer goes back. */
static inline bool guest_gets(struct guest *g, struct packet *ret, unsigned int wait_ms)
{
        struct rig_used u;
        gpa_t           gpa;

        for (unsigned int i = 0; !rig_take_used(&g->t.q[VSOCK_RX], &u); i++) {
                if (i >= wait_ms * 10)
                        return false;
                rig_nap();
        }
        gpa = g->rx_gpa[u.head];
        cr_assert(u.len >= sizeof(ret->h) && u.len <= GUEST_BUFFER);
        rig_peek(g->r, gpa, ret, u.len);
        cr_assert_eq(u.len, sizeof(ret->h) + ret->h.len);
        g->rx_gpa[rig_send(&g->t.q[VSOCK_RX], &(struct rig_buf){ gpa, GUEST_BUFFER, true }, 1)] = gpa;
        rig_kick(&g->t, VSOCK_RX);
        return true;
}

/* The next packet is that one. */
static inline struct packet guest_hears(struct guest *g, uint16_t op)
{
        struct packet p = { 0 };

        cr_assert(guest_gets(g, &p, 20000), "the guest hears nothing, expected op %u", op);
        cr_assert_eq(p.h.op, op, "expected op %u, found %u", op, p.h.op);
        return p;
}

static inline void guest_hears_nothing(struct guest *g)
{
        struct packet p;

        cr_assert(!guest_gets(g, &p, 50), "expected nothing, found op %u", p.h.op);
}

/* --- the host's programs --- */

static inline struct sockaddr_un host_address(const struct guest *g, const char *suffix)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };

        cr_assert_lt((size_t)snprintf(a.sun_path, sizeof(a.sun_path), "%s%s", g->path, suffix), sizeof(a.sun_path));
        return a;
}

static inline int host_listens(const struct guest *g, const char *suffix)
{
        struct sockaddr_un a = host_address(g, suffix);
        int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0, "%s", strerror(errno));
        cr_assert_eq(listen(fd, 2000), 0);
        return fd;
}

static inline int host_connects(const struct guest *g)
{
        struct sockaddr_un a = host_address(g, "");
        int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0, "%s", strerror(errno));
        return fd;
}

static inline void host_writes(int fd, const void *bytes, size_t len)
{
        cr_assert_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len, "%s", strerror(errno));
}

/* The next bytes, as many as there are; 0 at the end, or where the peer reset. */
static inline size_t host_reads(int fd, void *buf, size_t size)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t       n;

        cr_assert_eq(poll(&p, 1, 20000), 1, "nothing arrives at the host");
        n = recv(fd, buf, size, 0);
        cr_assert(n >= 0 || errno == ECONNRESET, "%s", strerror(errno));
        return n < 0 ? 0 : (size_t)n;
}

static inline void host_reads_exactly(int fd, const char *text)
{
        char   b[256] = { 0 };
        size_t n = 0;

        while (n < strlen(text)) {
                size_t part = host_reads(fd, b + n, strlen(text) - n);

                cr_assert_gt(part, 0, "expected '%s', found the end after '%s'", text, b);
                n += part;
        }
        cr_assert_str_eq(b, text);
}

static inline void host_reads_end(int fd)
{
        char b[16];

        cr_assert_eq(host_reads(fd, b, sizeof(b)), 0);
}

/* A host client that is connected to the guest's port 52; its port on the host goes to *ret_port. */
static inline int host_client(struct guest *g, uint32_t *ret_port)
{
        int           fd = host_connects(g);
        struct packet p;
        char          ok[32];

        host_writes(fd, "CONNECT 52\n", 11);
        p = guest_hears(g, VSOCK_REQUEST);
        *ret_port = p.h.src_port;
        guest_says(g, VSOCK_RESPONSE, 52, *ret_port, 0);
        snprintf(ok, sizeof(ok), "OK %u\n", *ret_port);
        host_reads_exactly(fd, ok);
        return fd;
}
