/* kvm/device/vsock_table.c: two hash tables with links in what they hold. */
#include "kvm/device/vsock_table.h"

#include <stddef.h>

/* A guest chooses its ports: that they all fall into one bucket costs it the walk of its own 1023 connections. */
static size_t ports_bucket(uint32_t host_port, uint32_t guest_port)
{
        return (host_port * 31 + guest_port) % VSOCK_BUCKETS;
}

static size_t fd_bucket(int fd)
{
        return (size_t)fd % VSOCK_BUCKETS;
}

struct vsock_conn *vsock_table_by_ports(const struct vsock_table *t, uint32_t host_port, uint32_t guest_port)
{
        struct vsock_conn *c = t->by_ports[ports_bucket(host_port, guest_port)];

        while (c && (c->host_port != host_port || c->guest_port != guest_port))
                c = c->next_by_ports;
        return c;
}

struct vsock_conn *vsock_table_by_fd(const struct vsock_table *t, int fd)
{
        struct vsock_conn *c = t->by_fd[fd_bucket(fd)];

        while (c && c->fd != fd)
                c = c->next_by_fd;
        return c;
}

void vsock_table_add_ports(struct vsock_table *t, struct vsock_conn *c)
{
        struct vsock_conn **first = &t->by_ports[ports_bucket(c->host_port, c->guest_port)];

        c->next_by_ports = *first;
        *first = c;
}

void vsock_table_add_fd(struct vsock_table *t, struct vsock_conn *c)
{
        struct vsock_conn **first = &t->by_fd[fd_bucket(c->fd)];

        c->next_by_fd = *first;
        *first = c;
}

void vsock_table_remove_ports(struct vsock_table *t, const struct vsock_conn *c)
{
        struct vsock_conn **p = &t->by_ports[ports_bucket(c->host_port, c->guest_port)];

        while (*p && *p != c)
                p = &(*p)->next_by_ports;
        if (*p)
                *p = c->next_by_ports;
}

void vsock_table_remove_fd(struct vsock_table *t, const struct vsock_conn *c)
{
        struct vsock_conn **p = &t->by_fd[fd_bucket(c->fd)];

        while (*p && *p != c)
                p = &(*p)->next_by_fd;
        if (*p)
                *p = c->next_by_fd;
}
