/* kvm/device/vsock.c: a virtio socket device (virtio 1.2, section 5.10) whose host side are unix sockets: packets of the guest to its
 * connections, and from them what the guest shall hear.
 *
 *   guest ─► tx queue ─► take_packets ─► connection ─► unix socket
 *   guest ◄─ rx queue ◄─ give_packets ◄─ talkers: connections that owe the guest a packet, each one packet a turn
 *
 * What waits when the guest gives no receive buffers is bounded: a connection owes bits, its data stays in its socket, and refusals of
 * packets without a connection fill a small ring; while that is full no packet of the guest's is taken. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "kvm/device/later.h"
#include "kvm/device/vsock_table.h"
#include "kvm/virtio/device.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

enum { RX, TX, EVENT, NR_QUEUES };
#define QUEUE_SIZE   256 /* entries, each queue; as StratoVirt's */
#define BUDGET       256 /* chains a turn */
#define CONNS_MAX    1023 /* as Firecracker's */
#define REFUSALS_MAX 256
#define ACCEPTS_MAX  64 /* a turn */
#define HEADER_BYTES sizeof(struct vsock_header)
#define DATA_MAX     (64 * KIB) /* of one packet of the guest's: more it has no credit for */
#define HOST_PORTS   (1U << 30) /* ours begin here, as Firecracker's, and there are as many */

#define FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)
/* What a StratoVirt vsock, which is the kernel's vhost, offers besides: SEQPACKET (1), NOTIFY_ON_EMPTY (24), LOG_ALL (26), ANY_LAYOUT (27),
 * ACCESS_PLATFORM (33). A device restored from there offers the same. */
#define SEQPACKET    (1ULL << 1)
#define PLATFORM     (1ULL << 33) /* addresses are guest physical: this machine has no IOMMU between */
#define VHOST_OFFERS (SEQPACKET | PLATFORM | 1ULL << 24 | 1ULL << 26 | 1ULL << 27)
/* What a driver may have accepted of it: a SEQPACKET socket is refused like one where nobody listens. */
#define VHOST_HONOURED (SEQPACKET | PLATFORM)

struct refusal {
        uint64_t src_cid, dst_cid; /* of the answer; little-endian, as they came */
        uint32_t src_port, dst_port;
        uint16_t type;
};

struct vsock {
        struct virtio_device d;
        /* set by new and load, then read-only */
        uint64_t               guest_cid;
        char                  *path;     /* NULL: no host side */
        struct vsock_listener *listener; /* NULL like path */
        /* worker thread */
        struct vsock_table table;
        uint32_t           nr_conns;
        struct vsock_conn *talkers, **last_talker;
        struct refusal     refusals[REFUSALS_MAX]; /* ring */
        uint32_t           first_refusal, nr_refusals;
        uint32_t           next_host_port; /* an offset from HOST_PORTS */
        bool               tx_more, rx_more; /* the budget ended before the queue did */
        struct later       next_turn;
        bool               lost;                    /* a page of a packet is lost: the session stops the VM */
        bool               reset_owed;              /* to a restored guest, which believes in connections that are no more */
        bool               listening, told_accept;
};

static struct vsock *to_vsock(struct virtio_device *d)
{
        return (struct vsock *)d;
}

/* --- connections --- */

static void complain(struct vsock *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void complain(struct vsock *v, const char *fmt, ...)
{
        char    text[300];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        if (v->d.env->message)
                v->d.env->message(v->d.env->arg, text);
}

static void watch(struct vsock *v, int fd, uint32_t events)
{
        int r = 0;

        if (events)
                r = virtio_watch(&v->d, fd, events);
        else
                virtio_unwatch(&v->d, fd);
        if (r < 0)
                complain(v, "%s: a connection stalls: epoll_ctl: %s", v->d.what, strerror(-r));
}

static void listen_now(struct vsock *v, bool on)
{
        if (!v->listener || v->listening == on)
                return;
        watch(v, vsock_listener_fd(v->listener), on ? EPOLLIN : 0);
        v->listening = on;
}

static void close_socket(struct vsock *v, struct vsock_conn *c)
{
        if (c->fd < 0)
                return;
        vsock_table_remove_fd(&v->table, c);
        if (c->watched)
                virtio_unwatch(&v->d, c->fd);
        close(c->fd);
        c->fd = -1;
        c->watched = 0;
}

static void talk(struct vsock *v, struct vsock_conn *c)
{
        if (c->talking)
                return;
        c->talking = true;
        c->next_talker = NULL;
        *v->last_talker = c;
        v->last_talker = &c->next_talker;
}

static void stop_talking(struct vsock *v, struct vsock_conn *c)
{
        struct vsock_conn **p = &v->talkers;

        if (!c->talking)
                return;
        while (*p != c)
                p = &(*p)->next_talker;
        *p = c->next_talker;
        if (v->last_talker == &c->next_talker)
                v->last_talker = p;
        c->talking = false;
}

static void drop(struct vsock *v, struct vsock_conn *c)
{
        close_socket(v, c);
        stop_talking(v, c);
        vsock_table_remove_ports(&v->table, c);
        vsock_conn_free(c);
        v->nr_conns--;
        listen_now(v, true); /* if there was no room, or no descriptor */
}

/* Whatever happened to a connection: its socket is watched for what matters now, and it is in line if it has something to say. */
static void settle(struct vsock *v, struct vsock_conn *c)
{
        uint32_t events;

        if (!vsock_conn_needs_socket(c))
                close_socket(v, c);
        events = c->fd >= 0 ? vsock_conn_events(c) : 0;
        if (c->fd >= 0 && events != c->watched)
                watch(v, c->fd, events);
        c->watched = events;
        if (vsock_conn_next(c) != VSOCK_NOTHING)
                talk(v, c);
}

/* NULL: no memory; the socket is closed then. */
static struct vsock_conn *adopt(struct vsock *v, int fd, enum vsock_phase phase)
{
        struct vsock_conn *c = vsock_conn_new(fd, phase);

        if (!c) {
                close(fd);
                return NULL;
        }
        vsock_table_add_fd(&v->table, c);
        v->nr_conns++;
        return c;
}

/* --- refusals: RST to what belongs to no connection --- */

static void refuse(struct vsock *v, const struct vsock_header *h)
{
        struct refusal *r = &v->refusals[(v->first_refusal + v->nr_refusals) % REFUSALS_MAX];

        if (le16toh(h->op) == VSOCK_RST) /* else two of us would go on forever */
                return;
        *r = (struct refusal){ .src_cid = h->dst_cid, .dst_cid = h->src_cid, .src_port = h->dst_port, .dst_port = h->src_port, .type = h->type };
        v->nr_refusals++;
}

/* Connections that wait for nothing but the guest's RST make room for one that is alive. */
static bool make_room(struct vsock *v)
{
        for (size_t i = 0; i < VSOCK_BUCKETS && v->nr_conns >= CONNS_MAX; i++)
                for (struct vsock_conn *c = v->table.by_ports[i], *next; c; c = next) {
                        next = c->next_by_ports;
                        if (c->phase == VSOCK_LEFT && !c->talking && v->nr_conns >= CONNS_MAX)
                                drop(v, c); /* its RST, when it comes, finds nobody, and that is fine */
                }
        return v->nr_conns < CONNS_MAX;
}

/* --- the host's clients --- */

/* No descriptor, no memory: clients wait until a connection ends, or the guest says something. */
static void cannot_accept(struct vsock *v, int error)
{
        listen_now(v, false);
        if (!v->told_accept)
                complain(v, "%s: clients of %s wait: accept: %s", v->d.what, v->path, strerror(-error));
        v->told_accept = true;
}

static void accept_clients(struct vsock *v)
{
        for (unsigned int i = 0; i < ACCEPTS_MAX; i++) {
                struct vsock_conn *c;
                int                fd;

                /* more clients than connections wait in the backlog */
                if (!make_room(v)) {
                        listen_now(v, false);
                        return;
                }
                fd = vsock_listener_accept(v->listener);
                if (fd < 0) {
                        if (fd != -EAGAIN && fd != -ECONNABORTED && fd != -EINTR)
                                cannot_accept(v, fd);
                        return;
                }
                c = adopt(v, fd, VSOCK_HELLO);
                if (c)
                        settle(v, c);
        }
}

static uint32_t free_host_port(struct vsock *v, uint32_t guest_port)
{
        uint32_t port;

        do
                port = HOST_PORTS + v->next_host_port++ % HOST_PORTS;
        while (vsock_table_by_ports(&v->table, port, guest_port)); /* ends: there are fewer connections than ports */
        return port;
}

static void hear_client(struct vsock *v, struct vsock_conn *c)
{
        int r = vsock_client_command(c->fd, &c->hello, &c->guest_port);

        if (r < 0) {
                drop(v, c);
                return;
        }
        if (!r)
                return;
        c->host_port = free_host_port(v, c->guest_port);
        vsock_table_add_ports(&v->table, c);
        vsock_conn_ask(c);
        settle(v, c);
}

/* --- packets of the guest --- */

static void guest_connects(struct vsock *v, const struct vsock_header *h)
{
        struct vsock_conn *c;
        int                fd = v->path && make_room(v) ? vsock_host_connect(v->path, le32toh(h->dst_port)) : -ECONNREFUSED;

        c = fd >= 0 ? adopt(v, fd, VSOCK_OPEN) : NULL;
        if (!c) {
                refuse(v, h);
                return;
        }
        c->host_port = le32toh(h->dst_port);
        c->guest_port = le32toh(h->src_port);
        vsock_table_add_ports(&v->table, c);
        vsock_conn_credit(c, h);
        settle(v, c);
}

/* A packet of a connection that there is. 0, or -EFAULT. */
static int hear_guest(struct vsock *v, struct vsock_conn *c, const struct vsock_header *h, const struct virtq_chain *chain)
{
        int r = 0;

        vsock_conn_credit(c, h);
        switch (le16toh(h->op)) {
        case VSOCK_RST:
                drop(v, c);
                return 0;
        case VSOCK_RESPONSE:
                vsock_conn_answered(c);
                break;
        case VSOCK_SHUTDOWN:
                vsock_conn_guest_shut(c, le32toh(h->flags));
                break;
        case VSOCK_RW:
                if (le32toh(h->len) > chain->out_bytes - HEADER_BYTES)
                        vsock_conn_reset(c);
                else
                        r = vsock_conn_take(c, chain, HEADER_BYTES, le32toh(h->len));
                break;
        case VSOCK_CREDIT_UPDATE:
                break;
        case VSOCK_CREDIT_REQUEST:
                vsock_conn_owe_credit(c);
                break;
        default: /* a second REQUEST, or no word at all */
                vsock_conn_reset(c);
        }
        settle(v, c);
        return r;
}

/* 0: dealt with; -EFAULT: its pages are lost. */
static int take_packet(struct vsock *v, const struct virtq_chain *chain)
{
        struct iovec        pieces[1024];
        struct vsock_header h;
        struct vsock_conn  *c;
        size_t              nr = virtq_chain_slice(chain, false, 0, HEADER_BYTES + DATA_MAX, pieces, ARRAY_LEN(pieces));
        int                 r = virtio_fetch(&v->d, pieces, nr); /* the header, too: a word in it may reach a program of the host */

        if (r < 0 || virtq_chain_read(chain, 0, &h, sizeof(h)) != sizeof(h))
                return -EFAULT;
        if (le64toh(h.src_cid) != v->guest_cid || le64toh(h.dst_cid) != VSOCK_CID_HOST || le16toh(h.type) != VSOCK_STREAM) {
                refuse(v, &h);
                return 0;
        }
        c = vsock_table_by_ports(&v->table, le32toh(h.dst_port), le32toh(h.src_port));
        if (c)
                return hear_guest(v, c, &h, chain);
        if (le16toh(h.op) == VSOCK_REQUEST)
                guest_connects(v, &h);
        else
                refuse(v, &h);
        return 0;
}

static void take_packets(struct vsock *v)
{
        struct virtq_chain c;
        unsigned int       i;

        for (i = 0; i < BUDGET && v->nr_refusals < REFUSALS_MAX && !v->lost && virtio_pop(&v->d, TX, &c); i++) {
                if (c.out_bytes < HEADER_BYTES) {
                        virtio_broken(&v->d, "a packet: expected a header of %zu bytes, found %llu bytes in all", HEADER_BYTES,
                                      (unsigned long long)c.out_bytes);
                        return;
                }
                if (take_packet(v, &c) < 0) {
                        virtq_unpop(v->d.queues[TX]);
                        v->lost = true;
                        break;
                }
                virtq_push(v->d.queues[TX], c.head, 0);
        }
        v->tx_more = i == BUDGET || v->nr_refusals == REFUSALS_MAX;
        virtio_notify(&v->d, TX);
}

/* --- packets to the guest --- */

/* Bytes written, or -EFAULT. */
static ssize_t put_header(const struct virtq_chain *chain, const struct vsock_header *h)
{
        ssize_t n = virtq_chain_write(chain, 0, h, sizeof(*h));

        return n == sizeof(*h) ? n + le32toh(h->len) : -EFAULT;
}

static ssize_t give_refusal(struct vsock *v, const struct virtq_chain *chain)
{
        const struct refusal *r = &v->refusals[v->first_refusal];
        struct vsock_header   h = {
                  .src_cid = r->src_cid, .dst_cid = r->dst_cid, .src_port = r->src_port, .dst_port = r->dst_port, .type = r->type, .op = htole16(VSOCK_RST)
        };

        v->first_refusal = (v->first_refusal + 1) % REFUSALS_MAX;
        v->nr_refusals--;
        return put_header(chain, &h);
}

/* The next packet of the first in line, who then goes to its end, or away. Bytes; 0: it had none after all; -EFAULT. */
static ssize_t give_talkers_packet(struct vsock *v, const struct virtq_chain *chain)
{
        struct vsock_conn  *c = v->talkers;
        struct vsock_header h = { .src_cid = htole64(VSOCK_CID_HOST), .dst_cid = htole64(v->guest_cid), .type = htole16(VSOCK_STREAM) };
        enum vsock_op       op = vsock_conn_next(c);
        ssize_t             n = 0;

        stop_talking(v, c);
        if (op == VSOCK_RW) {
                n = vsock_conn_read(c, chain, HEADER_BYTES);
                h.len = htole32((uint32_t)MAX(n, 0));
                if (n <= 0)
                        op = VSOCK_NOTHING;
        }
        if (op != VSOCK_NOTHING) {
                vsock_conn_tell(c, op, &h);
                n = put_header(chain, &h);
        }
        if (op == VSOCK_RST)
                drop(v, c);
        else
                settle(v, c);
        return n;
}

static void give_packets(struct vsock *v)
{
        struct virtq_chain c;
        unsigned int       i;
        bool               have = false;
        ssize_t            n;

        for (i = 0; i < BUDGET && (v->nr_refusals || v->talkers) && !v->lost; i++) {
                if (!have && !(have = virtio_pop(&v->d, RX, &c)))
                        break; /* until the driver kicks */
                /* for the data of a packet, too: one that cannot hold a byte of it would be filled forever */
                if (c.in_bytes <= HEADER_BYTES) {
                        virtio_broken(&v->d, "a receive buffer: expected more than the %zu bytes of a header, found %llu", HEADER_BYTES,
                                      (unsigned long long)c.in_bytes);
                        return;
                }
                n = v->nr_refusals ? give_refusal(v, &c) : give_talkers_packet(v, &c);
                v->lost = n < 0;
                if (n > 0) {
                        virtq_push(v->d.queues[RX], c.head, (uint32_t)n);
                        have = false;
                }
        }
        if (have)
                virtq_unpop(v->d.queues[RX]);
        v->rx_more = i == BUDGET;
        virtio_notify(&v->d, RX);
}

/* --- the event queue --- */

static void give_reset(struct vsock *v)
{
        struct vsock_event event = { .id = htole32(VSOCK_EVENT_TRANSPORT_RESET) };
        struct virtq_chain c;

        if (!v->reset_owed || !virtio_pop(&v->d, EVENT, &c))
                return;
        if (c.in_bytes < sizeof(event)) {
                virtio_broken(&v->d, "an event buffer: expected %zu bytes, found %llu", sizeof(event), (unsigned long long)c.in_bytes);
                return;
        }
        if (virtq_chain_write(&c, 0, &event, sizeof(event)) != sizeof(event)) {
                virtq_unpop(v->d.queues[EVENT]);
                return;
        }
        virtq_push(v->d.queues[EVENT], c.head, sizeof(event));
        v->reset_owed = false;
        virtio_notify(&v->d, EVENT);
}

/* --- worker --- */

static void take_turn(struct vsock *v)
{
        bool again;

        take_packets(v);
        give_packets(v);
        /* what was not taken because of the refusals may be, now that some are delivered; without receive buffers a kick will tell */
        again = !v->lost && ((v->tx_more && v->nr_refusals < REFUSALS_MAX) || v->rx_more);
        if (!again)
                later_done(&v->next_turn, &v->d);
        else if (!later_want(&v->next_turn, &v->d))
                complain(v, "%s: packets stall until the guest moves again: out of memory", v->d.what);
}

static void vsock_kicked(struct virtio_device *d, uint16_t queue)
{
        struct vsock *v = to_vsock(d);

        if (queue == EVENT) {
                give_reset(v);
                return;
        }
        listen_now(v, v->nr_conns < CONNS_MAX);
        take_turn(v);
}

static void vsock_ready(struct virtio_device *d, int fd, uint32_t events)
{
        struct vsock      *v = to_vsock(d);
        struct vsock_conn *c;

        if (v->listener && fd == vsock_listener_fd(v->listener)) {
                accept_clients(v);
        } else if ((c = vsock_table_by_fd(&v->table, fd))) {
                if (c->phase == VSOCK_HELLO) {
                        hear_client(v, c);
                } else {
                        vsock_conn_ready(c, events);
                        settle(v, c);
                }
        }
        take_turn(v);
}

static int vsock_begin(struct virtio_device *d, struct err *e)
{
        struct vsock *v = to_vsock(d);

        (void)e;
        later_begin(&v->next_turn);
        listen_now(v, true);
        give_reset(v);
        return 0;
}

static void vsock_end(struct virtio_device *d)
{
        struct vsock *v = to_vsock(d);

        listen_now(v, false);
        for (size_t i = 0; i < VSOCK_BUCKETS; i++) {
                while (v->table.by_ports[i])
                        drop(v, v->table.by_ports[i]);
                while (v->table.by_fd[i]) /* those without ports yet */
                        drop(v, v->table.by_fd[i]);
        }
        listen_now(v, false); /* a drop makes room */
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
                return err_bad(e, "state", ERR_NO_OFFSET, "vsock in slot %u: CID: expected %d to %u, found %llu; give it one: --vsock cid=N", c->slot,
                               VSOCK_CID_GUEST_MIN, VSOCK_CID_GUEST_MAX, (unsigned long long)cid);
        if (!cid_is_good(cid))
                return err_usage(e, "vsock in slot %u: cid=: expected %d to %u, found %llu", c->slot, VSOCK_CID_GUEST_MIN, VSOCK_CID_GUEST_MAX,
                                 (unsigned long long)cid);
        *ret = cid;
        return 0;
}

static int choose_features(const struct virtio_state *saved, uint32_t slot, uint64_t *ret, struct err *e)
{
        uint64_t cannot = saved ? saved->driver_features & VHOST_OFFERS & ~VHOST_HONOURED : 0;

        if (cannot)
                return err_bad(e, "state", ERR_NO_OFFSET, "vsock in slot %u: features that its driver accepted: expected those of vhost that this device "
                               "has, found 0x%llx, which it has not", slot, (unsigned long long)cannot);
        *ret = saved ? FEATURES | VHOST_OFFERS : FEATURES;
        return 0;
}

static int open_host_side(struct vsock *v, const struct device_config *c, struct err *e)
{
        uint32_t first = 0;
        int      r;

        /* Clones of one snapshot, and a guest that has not read its reset yet, shall not mistake a new connection for an old one. */
        if (getrandom(&first, sizeof(first), GRND_NONBLOCK) == sizeof(first))
                v->next_host_port = first % HOST_PORTS;
        if (!c->path)
                return 0;
        v->path = strdup(c->path);
        if (!v->path)
                return err_set(e, -ENOMEM, "vsock in slot %u: no memory", c->slot);
        r = vsock_listen(v->path, &v->listener, e);
        return r < 0 ? err_wrap(e, r, "vsock in slot %u", c->slot) : 0;
}

static int vsock_new(const struct device_config *c, const struct virtio_state *saved, struct virtio_env *env, struct virtio_device **ret,
                     struct err *e)
{
        static const uint16_t sizes[NR_QUEUES] = { QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE };
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
                r = virtio_device_init(&v->d, &vsock_ops, env, features, NR_QUEUES, sizes, saved, e);
        if (r < 0) {
                let_go(v);
                return r;
        }
        *ret = &v->d;
        return 0;
}

const struct virtio_maker vsock_maker = { .kind = VIRTIO_VSOCK, .new = vsock_new };
