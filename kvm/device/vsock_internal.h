/* kvm/device/vsock_internal.h: a vsock device's inside, shared by its files.
 * Owns:    struct vsock owns its connections and their sockets, and its listener.
 * Threads: as each field says; the functions: the worker.
 * Blocks:  never. */
#pragma once

#include "core/base/units.h"
#include "kvm/device/later.h"
#include "kvm/device/vsock_table.h"
#include "kvm/virtio/device.h"

enum { VSOCK_RX_QUEUE, VSOCK_TX_QUEUE, VSOCK_EVENT_QUEUE, VSOCK_NR_QUEUES };
#define VSOCK_BUDGET       256  /* chains a turn: a whole queue */
#define VSOCK_CONNS_MAX    1023 /* as Firecracker's */
#define VSOCK_REFUSALS_MAX 256
#define VSOCK_HEADER_BYTES sizeof(struct vsock_header)

/* An RST to what belongs to no connection. */
struct vsock_refusal {
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
        struct vsock_table   table;
        uint32_t             nr_conns, conns_max;
        struct vsock_conn   *talkers, **last_talker; /* in line */
        uint32_t             first_refusal, nr_refusals;
        struct vsock_refusal refusals[VSOCK_REFUSALS_MAX]; /* ring */
        uint32_t             next_host_port;               /* before the modulo of free_host_port */
        bool                 tx_more, rx_more;             /* the budget ended before the queue did */
        struct later         next_turn;
        bool                 lost;                   /* a page of a packet is lost: the session stops the VM */
        bool                 reset_owed;             /* to a restored guest, which believes in connections that are no more */
        bool                 listening, told_accept; /* the listener is watched; the user knows why it is not */
};

/* --- connections (vsock_links.c) --- */

/* Of a socket that is connected: NULL, and it is closed, where there is no memory. Its ports are added by the caller. */
struct vsock_conn *vsock_adopt(struct vsock *v, int fd, enum vsock_phase phase);
/* Whatever happened to a connection: its socket is watched for what matters now, and it is in line if it has something to say. */
void vsock_settle(struct vsock *v, struct vsock_conn *c);
void vsock_drop(struct vsock *v, struct vsock_conn *c); /* it is gone, and its socket */
void vsock_stop_talking(struct vsock *v, struct vsock_conn *c);
/* Is there room for one more, now that those that wait for nothing but the guest's RST have been let go? */
bool vsock_make_room(struct vsock *v);

void vsock_listen_now(struct vsock *v, bool on);
void vsock_accept_clients(struct vsock *v);
void vsock_hear_client(struct vsock *v, struct vsock_conn *c); /* in HELLO, when it has said something */

/* --- packets (vsock_packets.c): at most a budget of them --- */

void vsock_take_packets(struct vsock *v);
void vsock_give_packets(struct vsock *v);
