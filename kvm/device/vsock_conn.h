/* kvm/device/vsock_conn.h: one stream between a guest's port and a unix socket: its state, and what each side still has to hear.
 * Owns:    the bytes that the socket did not take yet; the socket belongs to the device, which watches and closes it.
 * Threads: the device's worker.
 * Blocks:  never.
 *
 *   host client ─► HELLO ─CONNECT─► ASKED ─guest's RESPONSE─► OPEN ─both ends said goodbye─► (gone)
 *   guest's REQUEST ─────────────────────────────────────────► OPEN
 *        OPEN ─the host's end is closed─► LEFT ─guest's RST or SHUTDOWN─► (gone)
 *        any ─a rule was broken, or the guest finished─► RESET ─RST delivered─► (gone)
 *
 * Credit (virtio 1.2, section 5.10.6.3): the guest may have VSOCK_BUFFER_BYTES under way that the socket has not taken; we may
 * have as many under way as its last packet allows. What a connection has to tell is a few bits, not a queue of packets: nothing
 * that a guest does makes it grow, apart from that one buffer. */
#pragma once

#include "kvm/device/vsock_host.h"
#include "kvm/device/vsock_layout.h"
#include "kvm/virtio/queue.h"

#include <stdbool.h>
#include <sys/types.h>

#define VSOCK_BUFFER_BYTES (64 * KIB) /* as Firecracker's; allocated only while a host peer is slow */

enum vsock_phase { VSOCK_HELLO, VSOCK_ASKED, VSOCK_OPEN, VSOCK_LEFT, VSOCK_RESET };

struct vsock_conn {
        enum vsock_phase phase;
        uint32_t         host_port, guest_port; /* from ASKED or OPEN on */
        struct vsock_line hello;

        uint32_t owed;       /* to the guest, a bit per enum vsock_op */
        uint32_t host_shut;  /* VSOCK_SHUT_ flags that the guest heard or is owed */
        uint32_t guest_shut; /* that it said */
        bool     readable;   /* the socket may have bytes, or its end, for the guest */

        /* host to guest; free-running */
        uint32_t sent_bytes, guest_fwd_cnt, guest_buf_alloc;
        bool     credit_asked;
        /* guest to host; free-running */
        uint32_t forwarded_bytes, told_bytes;
        bool     deaf; /* the host peer reads no more: what comes is thrown away, as the guest is told */
        uint8_t *buffer; /* [VSOCK_BUFFER_BYTES], a ring; NULL while nothing is held */
        uint32_t first, held_bytes;

        /* the device's own */
        int                fd; /* -1: none */
        uint32_t           watched;
        bool               talking;
        struct vsock_conn *next_talker, *next_by_ports, *next_by_fd;
};

/* NULL: no memory. fd is closed by whoever frees it, not by vsock_conn_free. */
struct vsock_conn *vsock_conn_new(int fd, enum vsock_phase phase);
void               vsock_conn_free(struct vsock_conn *c); /* not its socket */

/* --- what the guest says --- */
void vsock_conn_credit(struct vsock_conn *c, const struct vsock_header *h); /* of every packet */
void vsock_conn_answered(struct vsock_conn *c);                             /* RESPONSE */
void vsock_conn_guest_shut(struct vsock_conn *c, uint32_t flags);
/* RW: bytes [offset, offset + len) of a chain, whose pages are there. -EFAULT: they are not. */
int vsock_conn_take(struct vsock_conn *c, const struct virtq_chain *chain, uint64_t offset_bytes, uint32_t len_bytes);
void vsock_conn_owe_credit(struct vsock_conn *c);                           /* CREDIT_REQUEST */
void vsock_conn_reset(struct vsock_conn *c); /* it shall hear RST, and that ends it */

/* --- what the host says --- */
void vsock_conn_ask(struct vsock_conn *c); /* the client has named the guest's port */
/* EPOLL events of the socket */
void vsock_conn_ready(struct vsock_conn *c, uint32_t events);

/* --- what comes next --- */
enum vsock_op vsock_conn_next(const struct vsock_conn *c); /* the packet that the guest is to get, or VSOCK_NOTHING */
/* RW: reads from the socket into chain from offset on. Bytes; 0: there is none now (another packet may be next); -EFAULT. */
ssize_t vsock_conn_read(struct vsock_conn *c, const struct virtq_chain *chain, uint64_t offset_bytes);
/* Fills what a packet says of the connection; that packet is then told. */
void vsock_conn_tell(struct vsock_conn *c, enum vsock_op op, struct vsock_header *h);
/* EPOLL events to wait for; 0: none, not even a hang-up. */
uint32_t vsock_conn_events(const struct vsock_conn *c);
bool     vsock_conn_needs_socket(const struct vsock_conn *c);
