/* kvm/device/vsock_conn.c: credit, goodbyes and the bytes that wait for a slow host peer. */
#include "kvm/device/vsock_conn.h"

#include "core/base/units.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define PIECES_MAX     1024        /* of one message (UIO_MAXIOV) */
#define PACKET_MAX     (64 * KIB)  /* of data: more at once would be unfair to the others */
#define OWED(op)       (1U << (op))

struct vsock_conn *vsock_conn_new(int fd, enum vsock_phase phase)
{
        struct vsock_conn *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->phase = phase;
        c->fd = fd;
        if (phase == VSOCK_OPEN)
                c->owed = OWED(VSOCK_RESPONSE);
        return c;
}

void vsock_conn_free(struct vsock_conn *c)
{
        free(c->buffer);
        free(c);
}

/* --- bytes that are held --- */

static void let_go(struct vsock_conn *c)
{
        c->forwarded_bytes += c->held_bytes;
        c->first = c->held_bytes = 0;
        free(c->buffer);
        c->buffer = NULL;
}

/* A ring in at most two parts: its bytes [at, at + len). */
static size_t ring_parts(const struct vsock_conn *c, uint32_t at, uint32_t len_bytes, struct iovec ret[2])
{
        uint32_t to_end = (uint32_t)VSOCK_BUFFER_BYTES - at, first = MIN(len_bytes, to_end);

        ret[0] = (struct iovec){ .iov_base = c->buffer + at, .iov_len = first };
        ret[1] = (struct iovec){ .iov_base = c->buffer, .iov_len = len_bytes - first };
        return len_bytes > first ? 2 : 1;
}

static int hold(struct vsock_conn *c, const struct virtq_chain *chain, uint64_t offset_bytes, uint32_t len_bytes)
{
        struct iovec to[2];
        size_t       nr;

        if (!c->buffer)
                c->buffer = malloc(VSOCK_BUFFER_BYTES);
        if (!c->buffer)
                return -ENOMEM;
        nr = ring_parts(c, (c->first + c->held_bytes) % VSOCK_BUFFER_BYTES, len_bytes, to);
        for (size_t i = 0; i < nr; i++) {
                if (virtq_chain_read(chain, offset_bytes, to[i].iov_base, to[i].iov_len) != (ssize_t)to[i].iov_len)
                        return -EFAULT;
                offset_bytes += to[i].iov_len;
        }
        c->held_bytes += len_bytes;
        return 0;
}

static ssize_t send_to_host(struct vsock_conn *c, struct iovec *v, size_t nr)
{
        struct msghdr m = { .msg_iov = v, .msg_iovlen = nr };
        ssize_t       n = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0)
                return n;
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* --- the two goodbyes --- */

static void tell_shut(struct vsock_conn *c, uint32_t flags)
{
        if ((c->host_shut & flags) == flags)
                return;
        c->host_shut |= flags;
        c->owed |= OWED(VSOCK_SHUTDOWN);
}

/* The host's end is gone. The guest may still have to read what it got: its RST tells when it is done (section 5.10.6.5). */
static void host_left(struct vsock_conn *c)
{
        let_go(c);
        c->readable = false;
        c->phase = VSOCK_LEFT;
        tell_shut(c, VSOCK_SHUT_BOTH);
}

/* Is nothing more to be read from the host for the guest? */
static bool reading_is_over(const struct vsock_conn *c)
{
        return (c->host_shut & VSOCK_SHUT_SEND) || (c->guest_shut & VSOCK_SHUT_RECEIVE);
}

static void host_is_deaf(struct vsock_conn *c)
{
        c->deaf = true;
        let_go(c);
        tell_shut(c, VSOCK_SHUT_RECEIVE);
        if (reading_is_over(c))
                host_left(c);
        else
                c->readable = true; /* a peer that is gone altogether shows there */
}

/* After each step of the guest's goodbye, and when the last byte held is out. */
static void pass_goodbye_on(struct vsock_conn *c)
{
        if (c->phase != VSOCK_OPEN || c->held_bytes)
                return;
        if (c->guest_shut == VSOCK_SHUT_BOTH) {
                vsock_conn_reset(c);
        } else if (c->guest_shut & VSOCK_SHUT_SEND) {
                if (c->host_shut & VSOCK_SHUT_SEND)
                        host_left(c); /* nothing can flow any more */
                else
                        shutdown(c->fd, SHUT_WR);
        }
}

/* The socket has ended: by half, or is its peer gone? */
static void host_ended(struct vsock_conn *c)
{
        struct pollfd p = { .fd = c->fd };

        c->readable = false;
        if (poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR))) {
                host_left(c);
                return;
        }
        tell_shut(c, VSOCK_SHUT_SEND);
        pass_goodbye_on(c);
}

/* --- the guest's packets --- */

void vsock_conn_credit(struct vsock_conn *c, const struct vsock_header *h)
{
        c->guest_buf_alloc = le32toh(h->buf_alloc);
        c->guest_fwd_cnt = le32toh(h->fwd_cnt);
}

/* Free-running counters: a guest that says it consumed what it never got has no credit, or some of its own buffer's. */
static uint32_t credit_bytes(const struct vsock_conn *c)
{
        uint32_t under_way = c->sent_bytes - c->guest_fwd_cnt;

        return under_way < c->guest_buf_alloc ? c->guest_buf_alloc - under_way : 0;
}

void vsock_conn_answered(struct vsock_conn *c)
{
        bool asked = c->phase == VSOCK_ASKED && !(c->owed & OWED(VSOCK_REQUEST));

        if (!asked || vsock_client_ok(c->fd, c->host_port) < 0)
                vsock_conn_reset(c);
        else
                c->phase = VSOCK_OPEN;
}

void vsock_conn_guest_shut(struct vsock_conn *c, uint32_t flags)
{
        if (c->phase == VSOCK_RESET)
                return;
        c->guest_shut |= flags & VSOCK_SHUT_BOTH;
        if (c->phase == VSOCK_ASKED || (c->phase == VSOCK_LEFT && c->guest_shut == VSOCK_SHUT_BOTH)) {
                vsock_conn_reset(c);
                return;
        }
        if (c->phase == VSOCK_OPEN && (c->guest_shut & VSOCK_SHUT_RECEIVE)) {
                shutdown(c->fd, SHUT_RD); /* the host's writer shall know */
                c->readable = false;
        }
        pass_goodbye_on(c);
}

int vsock_conn_take(struct vsock_conn *c, const struct virtq_chain *chain, uint64_t offset_bytes, uint32_t len_bytes)
{
        struct iovec v[PIECES_MAX];
        size_t       nr;
        ssize_t      n = 0;
        int          r;

        if (c->phase == VSOCK_LEFT || c->phase == VSOCK_RESET || !len_bytes)
                return 0; /* it was under way when we said goodbye */
        if (c->phase != VSOCK_OPEN || (c->guest_shut & VSOCK_SHUT_SEND) || len_bytes > VSOCK_BUFFER_BYTES - c->held_bytes) {
                vsock_conn_reset(c);
                return 0;
        }
        if (!c->held_bytes && !c->deaf) {
                nr = virtq_chain_slice(chain, false, offset_bytes, len_bytes, v, PIECES_MAX);
                n = send_to_host(c, v, nr);
                if (n == -EFAULT)
                        return (int)n;
                if (n < 0)
                        host_is_deaf(c);
        }
        if (c->deaf || c->phase != VSOCK_OPEN)
                n = len_bytes;
        c->forwarded_bytes += (uint32_t)n;
        if (n == len_bytes)
                return 0;
        r = hold(c, chain, offset_bytes + (uint64_t)n, len_bytes - (uint32_t)n);
        if (r == -ENOMEM) {
                vsock_conn_reset(c);
                return 0;
        }
        return r;
}

void vsock_conn_owe_credit(struct vsock_conn *c)
{
        if (c->phase == VSOCK_OPEN)
                c->owed |= OWED(VSOCK_CREDIT_UPDATE);
}

void vsock_conn_reset(struct vsock_conn *c)
{
        let_go(c);
        c->readable = false;
        c->phase = VSOCK_RESET;
        c->owed = OWED(VSOCK_RST);
}

/* --- what the host says --- */

void vsock_conn_ask(struct vsock_conn *c)
{
        c->phase = VSOCK_ASKED;
        c->owed = OWED(VSOCK_REQUEST);
}

static void flush(struct vsock_conn *c)
{
        struct iovec v[2];
        ssize_t      n = send_to_host(c, v, ring_parts(c, c->first, c->held_bytes, v));

        if (n < 0) {
                host_is_deaf(c);
        } else {
                c->first = (uint32_t)((c->first + (uint32_t)n) % VSOCK_BUFFER_BYTES);
                c->held_bytes -= (uint32_t)n;
                c->forwarded_bytes += (uint32_t)n;
                if (!c->held_bytes)
                        let_go(c);
        }
        pass_goodbye_on(c);
}

void vsock_conn_ready(struct vsock_conn *c, uint32_t events)
{
        if (c->phase == VSOCK_ASKED && (events & (EPOLLHUP | EPOLLERR)))
                vsock_conn_reset(c);
        if (c->phase != VSOCK_OPEN)
                return;
        if (c->held_bytes && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
                flush(c);
        if (c->phase == VSOCK_OPEN && reading_is_over(c) && (events & (EPOLLHUP | EPOLLERR)))
                host_ended(c);
        else if (c->phase == VSOCK_OPEN && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                c->readable = true;
}

/* --- what comes next --- */

/* Should the guest hear how much it may send? When half of the buffer is free that it believes taken. */
static bool credit_is_news(const struct vsock_conn *c)
{
        return c->forwarded_bytes - c->told_bytes >= VSOCK_BUFFER_BYTES / 2;
}

static bool owes(const struct vsock_conn *c, enum vsock_op op)
{
        return c->owed & OWED(op);
}

enum vsock_op vsock_conn_next(const struct vsock_conn *c)
{
        static const enum vsock_op before_data[] = { VSOCK_RST, VSOCK_REQUEST, VSOCK_RESPONSE };

        for (size_t i = 0; i < ARRAY_LEN(before_data); i++)
                if (owes(c, before_data[i]))
                        return before_data[i];
        if (c->phase == VSOCK_OPEN && c->readable && !reading_is_over(c)) {
                if (credit_bytes(c))
                        return VSOCK_RW;
                if (!c->credit_asked)
                        return VSOCK_CREDIT_REQUEST;
        }
        if (owes(c, VSOCK_SHUTDOWN))
                return VSOCK_SHUTDOWN;
        if (c->phase == VSOCK_OPEN && (owes(c, VSOCK_CREDIT_UPDATE) || credit_is_news(c)))
                return VSOCK_CREDIT_UPDATE;
        return VSOCK_NOTHING;
}

ssize_t vsock_conn_read(struct vsock_conn *c, const struct virtq_chain *chain, uint64_t offset_bytes)
{
        struct iovec  v[PIECES_MAX];
        uint64_t      room_bytes = MIN(MIN(chain->in_bytes - offset_bytes, credit_bytes(c)), PACKET_MAX);
        struct msghdr m = { .msg_iov = v, .msg_iovlen = virtq_chain_slice(chain, true, offset_bytes, room_bytes, v, PIECES_MAX) };
        ssize_t       n = recvmsg(c->fd, &m, MSG_DONTWAIT);

        if (n > 0) {
                c->sent_bytes += (uint32_t)n;
                c->credit_asked = false;
                return n;
        }
        if (n < 0 && errno == EFAULT)
                return -EFAULT;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                c->readable = false;
        else
                host_ended(c);
        return 0;
}

void vsock_conn_tell(struct vsock_conn *c, enum vsock_op op, struct vsock_header *h)
{
        h->src_port = htole32(c->host_port);
        h->dst_port = htole32(c->guest_port);
        h->op = htole16(op);
        h->flags = op == VSOCK_SHUTDOWN ? htole32(c->host_shut) : 0;
        h->buf_alloc = htole32((uint32_t)VSOCK_BUFFER_BYTES);
        h->fwd_cnt = htole32(c->forwarded_bytes);
        c->told_bytes = c->forwarded_bytes;
        c->owed &= ~(OWED(op) | OWED(VSOCK_CREDIT_UPDATE)); /* every packet says it */
        c->credit_asked = c->credit_asked || op == VSOCK_CREDIT_REQUEST;
}

/* A hang-up is reported as long as one waits for anything: so who is readable, and need not hear it again, waits for nothing. */
uint32_t vsock_conn_events(const struct vsock_conn *c)
{
        uint32_t events = c->held_bytes ? EPOLLOUT : 0;

        if (c->phase == VSOCK_HELLO)
                return EPOLLIN;
        if (c->phase == VSOCK_ASKED)
                return EPOLLHUP;
        if (c->phase != VSOCK_OPEN || c->readable)
                return events;
        return events | EPOLLHUP | (reading_is_over(c) ? 0 : EPOLLIN);
}

bool vsock_conn_needs_socket(const struct vsock_conn *c)
{
        return c->phase != VSOCK_LEFT && c->phase != VSOCK_RESET;
}
