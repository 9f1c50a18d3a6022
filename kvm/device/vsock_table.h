/* kvm/device/vsock_table.h: a device's connections, found by their two ports or by their socket.
 * Owns:    nothing; links that lie in the connections.
 * Threads: the device's worker.
 * Blocks:  never. */
#pragma once

#include "kvm/device/vsock_conn.h"

#define VSOCK_BUCKETS 256 /* some four a bucket at VSOCK_CONNS_MAX */

struct vsock_table {
        struct vsock_conn *by_ports[VSOCK_BUCKETS], *by_fd[VSOCK_BUCKETS];
};

/* NULL: none. */
struct vsock_conn *vsock_table_by_ports(const struct vsock_table *t, uint32_t host_port, uint32_t guest_port);
struct vsock_conn *vsock_table_by_fd(const struct vsock_table *t, int fd);
/* As the connection's ports and fd are now; they stay so until the removal. */
void vsock_table_add_ports(struct vsock_table *t, struct vsock_conn *c);
void vsock_table_add_fd(struct vsock_table *t, struct vsock_conn *c);
void vsock_table_remove_ports(struct vsock_table *t, const struct vsock_conn *c); /* it need not be there */
void vsock_table_remove_fd(struct vsock_table *t, const struct vsock_conn *c);
