/* kvm/device/vsock_packets.c: packets of the guest to its connections, and from them what the guest shall hear.
 *
 *   guest ─► tx queue ─► take_packets ─► connection ─► unix socket
 *   guest ◄─ rx queue ◄─ give_packets ◄─ talkers: connections that owe the guest a packet, each one packet a turn
 *
 * What waits when the guest gives no receive buffers is bounded: a connection owes bits, its data stays in its socket, and
 * refusals of packets without a connection fill a small ring; while that is full no packet of the guest's is taken. */
#include "kvm/device/vsock_internal.h"

#include <endian.h>
#include <errno.h>
#include <sys/uio.h>

#define DATA_MAX (64 * KIB) /* of one packet of the guest's: more it has no credit for */

/* --- refusals: RST to what belongs to no connection --- */

static void refuse(struct vsock *v, const struct vsock_header *h)
{
        struct vsock_refusal *r = &v->refusals[(v->first_refusal + v->nr_refusals) % VSOCK_REFUSALS_MAX];

        if (le16toh(h->op) == VSOCK_RST) /* else two of us would go on forever */
                return;
        *r = (struct vsock_refusal){ .src_cid = h->dst_cid, .dst_cid = h->src_cid, .src_port = h->dst_port,
                                     .dst_port = h->src_port, .type = h->type };
        v->nr_refusals++;
}

/* --- packets of the guest --- */

static void guest_connects(struct vsock *v, const struct vsock_header *h)
{
        struct vsock_conn *c;
        int                fd = v->path && vsock_make_room(v) ? vsock_host_connect(v->path, le32toh(h->dst_port)) : -ECONNREFUSED;

        c = fd >= 0 ? vsock_adopt(v, fd, VSOCK_OPEN) : NULL;
        if (!c) {
                refuse(v, h);
                return;
        }
        c->host_port = le32toh(h->dst_port);
        c->guest_port = le32toh(h->src_port);
        vsock_table_add_ports(&v->table, c);
        vsock_conn_credit(c, h);
        vsock_settle(v, c);
}

/* A packet of a connection that there is. 0, or -EFAULT. */
static int hear_guest(struct vsock *v, struct vsock_conn *c, const struct vsock_header *h, const struct virtq_chain *chain)
{
        int r = 0;

        vsock_conn_credit(c, h);
        switch (le16toh(h->op)) {
        case VSOCK_RST:
                vsock_drop(v, c);
                return 0;
        case VSOCK_RESPONSE:
                vsock_conn_answered(c);
                break;
        case VSOCK_SHUTDOWN:
                vsock_conn_guest_shut(c, le32toh(h->flags));
                break;
        case VSOCK_RW:
                if (le32toh(h->len) > chain->out_bytes - VSOCK_HEADER_BYTES)
                        vsock_conn_reset(c);
                else
                        r = vsock_conn_take(c, chain, VSOCK_HEADER_BYTES, le32toh(h->len));
                break;
        case VSOCK_CREDIT_UPDATE:
                break;
        case VSOCK_CREDIT_REQUEST:
                vsock_conn_owe_credit(c);
                break;
        default: /* a second REQUEST, or no word at all */
                vsock_conn_reset(c);
        }
        vsock_settle(v, c);
        return r;
}

/* 0: dealt with; -EFAULT: its pages are lost. */
static int take_packet(struct vsock *v, const struct virtq_chain *chain)
{
        struct iovec        pieces[1024];
        struct vsock_header h;
        struct vsock_conn  *c;
        size_t              nr = virtq_chain_slice(chain, false, 0, VSOCK_HEADER_BYTES + DATA_MAX, pieces, ARRAY_LEN(pieces));
        int                 r = virtio_fetch(&v->d, pieces, nr); /* the header, too: a word of it may reach a host's program */

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

void vsock_take_packets(struct vsock *v)
{
        struct virtq_chain c;
        unsigned int       i;

        for (i = 0; i < VSOCK_BUDGET && v->nr_refusals < VSOCK_REFUSALS_MAX && !v->lost; i++) {
                if (!virtio_pop(&v->d, VSOCK_TX_QUEUE, &c))
                        break;
                if (c.out_bytes < VSOCK_HEADER_BYTES) {
                        virtio_broken(&v->d, "a packet: expected a header of %zu bytes, found %llu bytes in all",
                                      VSOCK_HEADER_BYTES, (unsigned long long)c.out_bytes);
                        return;
                }
                if (take_packet(v, &c) < 0) {
                        virtq_unpop(v->d.queues[VSOCK_TX_QUEUE]);
                        v->lost = true;
                        break;
                }
                virtq_push(v->d.queues[VSOCK_TX_QUEUE], c.head, 0);
        }
        v->tx_more = i == VSOCK_BUDGET || v->nr_refusals == VSOCK_REFUSALS_MAX;
        virtio_notify(&v->d, VSOCK_TX_QUEUE);
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
        const struct vsock_refusal *r = &v->refusals[v->first_refusal];
        struct vsock_header         h = { .src_cid = r->src_cid, .dst_cid = r->dst_cid, .src_port = r->src_port,
                                          .dst_port = r->dst_port, .type = r->type, .op = htole16(VSOCK_RST) };

        v->first_refusal = (v->first_refusal + 1) % VSOCK_REFUSALS_MAX;
        v->nr_refusals--;
        return put_header(chain, &h);
}

/* The next packet of the first in line, who then goes to its end, or away. Bytes; 0: it had none after all; -EFAULT. */
static ssize_t give_talkers_packet(struct vsock *v, const struct virtq_chain *chain)
{
        struct vsock_conn  *c = v->talkers;
        struct vsock_header h = { .src_cid = htole64(VSOCK_CID_HOST), .dst_cid = htole64(v->guest_cid),
                                  .type = htole16(VSOCK_STREAM) };
        enum vsock_op       op = vsock_conn_next(c);
        ssize_t             n = 0;

        vsock_stop_talking(v, c);
        if (op == VSOCK_RW) {
                n = vsock_conn_read(c, chain, VSOCK_HEADER_BYTES);
                h.len = htole32((uint32_t)MAX(n, 0));
                if (n <= 0)
                        op = VSOCK_NOTHING;
        }
        if (op != VSOCK_NOTHING) {
                vsock_conn_tell(c, op, &h);
                n = put_header(chain, &h);
        }
        if (op == VSOCK_RST)
                vsock_drop(v, c);
        else
                vsock_settle(v, c);
        return n;
}

void vsock_give_packets(struct vsock *v)
{
        struct virtq_chain c;
        unsigned int       i;
        bool               have = false;
        ssize_t            n;

        for (i = 0; i < VSOCK_BUDGET && (v->nr_refusals || v->talkers) && !v->lost; i++) {
                if (!have && !(have = virtio_pop(&v->d, VSOCK_RX_QUEUE, &c)))
                        break; /* until the driver kicks */
                /* for the data of a packet, too: one that cannot hold a byte of it would be filled forever */
                if (c.in_bytes <= VSOCK_HEADER_BYTES) {
                        virtio_broken(&v->d, "a receive buffer: expected more than the %zu bytes of a header, found %llu",
                                      VSOCK_HEADER_BYTES, (unsigned long long)c.in_bytes);
                        return;
                }
                n = v->nr_refusals ? give_refusal(v, &c) : give_talkers_packet(v, &c);
                v->lost = n < 0;
                if (n > 0) {
                        virtq_push(v->d.queues[VSOCK_RX_QUEUE], c.head, (uint32_t)n);
                        have = false;
                }
        }
        if (have)
                virtq_unpop(v->d.queues[VSOCK_RX_QUEUE]);
        v->rx_more = i == VSOCK_BUDGET;
        virtio_notify(&v->d, VSOCK_RX_QUEUE);
}
