/* kvm/device/vsock_links.c: the connections of a vsock device: taken in, watched, put in line to talk to the guest, let go. */
#include "core/base/cleanup.h"
#include "kvm/device/vsock_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ACCEPTS_MAX 64         /* a turn */
#define HOST_PORTS  (1U << 30) /* ours begin here, as Firecracker's, and there are as many */

/* --- connections --- */

static void watch(struct vsock *v, int fd, uint32_t events)
{
        int r = 0;

        if (events)
                r = virtio_watch(&v->d, fd, events);
        else
                virtio_unwatch(&v->d, fd);
        if (r < 0)
                virtio_say(&v->d, "a connection stalls: epoll_ctl: %s", strerror(-r));
}

void vsock_listen_now(struct vsock *v, bool on)
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

void vsock_stop_talking(struct vsock *v, struct vsock_conn *c)
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

void vsock_drop(struct vsock *v, struct vsock_conn *c)
{
        close_socket(v, c);
        vsock_stop_talking(v, c);
        vsock_table_remove_ports(&v->table, c);
        vsock_conn_free(c);
        v->nr_conns--;
        vsock_listen_now(v, true); /* if there was no room, or no descriptor */
}

void vsock_settle(struct vsock *v, struct vsock_conn *c)
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

struct vsock_conn *vsock_adopt(struct vsock *v, int fd, enum vsock_phase phase)
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

bool vsock_make_room(struct vsock *v)
{
        for (size_t i = 0; i < VSOCK_BUCKETS && v->nr_conns >= v->conns_max; i++)
                for (struct vsock_conn *c = v->table.by_ports[i], *next; c; c = next) {
                        next = c->next_by_ports;
                        if (c->phase == VSOCK_LEFT && !c->talking && v->nr_conns >= v->conns_max)
                                vsock_drop(v, c); /* its RST, when it comes, finds nobody, and that is fine */
                }
        return v->nr_conns < v->conns_max;
}

/* --- the host's clients --- */

/* No descriptor, no memory: clients wait until a connection ends, or the guest says something. */
static void cannot_accept(struct vsock *v, int error)
{
        vsock_listen_now(v, false);
        if (!v->told_accept)
                virtio_say(&v->d, "clients of %s wait: accept: %s", v->path, strerror(-error));
        v->told_accept = true;
}

void vsock_accept_clients(struct vsock *v)
{
        for (unsigned int i = 0; i < ACCEPTS_MAX; i++) {
                struct vsock_conn *c;
                int                fd;

                /* more clients than connections wait in the backlog */
                if (!vsock_make_room(v)) {
                        vsock_listen_now(v, false);
                        return;
                }
                fd = vsock_listener_accept(v->listener);
                if (fd < 0) {
                        if (fd != -EAGAIN && fd != -ECONNABORTED && fd != -EINTR)
                                cannot_accept(v, fd);
                        return;
                }
                c = vsock_adopt(v, fd, VSOCK_HELLO);
                if (c)
                        vsock_settle(v, c);
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

void vsock_hear_client(struct vsock *v, struct vsock_conn *c)
{
        int r = vsock_client_command(c->fd, &c->hello, &c->guest_port);

        if (r < 0) {
                vsock_drop(v, c);
                return;
        }
        if (!r)
                return;
        c->host_port = free_host_port(v, c->guest_port);
        vsock_table_add_ports(&v->table, c);
        vsock_conn_ask(c);
        vsock_settle(v, c);
}
