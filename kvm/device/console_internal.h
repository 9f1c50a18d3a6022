/* kvm/device/console_internal.h: the body of a virtio console, shared by the files that each do one of its jobs.
 * Owns:    see the struct.
 * Threads: every function here belongs to the worker, but console_port_open and console_port_close: session thread.
 * Blocks:  never; a file that is written may block as a disk does.
 *
 *   console.c       the device: configuration, queues, what is saved
 *   console_ctrl.c  what the driver and the device tell each other of ports (virtio 1.2, section 5.3.6.2)
 *   console_port.c  port 0: bytes between its two queues and a socket or a file */
#pragma once

#include "kvm/device/later.h"

#define CONSOLE_F_SIZE      (1ULL << 0)
#define CONSOLE_F_MULTIPORT (1ULL << 1)

enum { CONSOLE_IN, CONSOLE_OUT, CONSOLE_CTRL_IN, CONSOLE_CTRL_OUT, CONSOLE_PORT1_IN, CONSOLE_PORT1_OUT };

/* Buffers a wake-up takes; the rest later. */
#define CONSOLE_WAKE_CHAINS 64u

/* What stands behind port 0. */
struct console_backend {
        const char *path;    /* NULL: nowhere */
        int         listen_fd; /* -1: path is a file, or nowhere */
        int         fd;      /* the client, or the file; -1: nobody */
        bool        eof;     /* the client will say nothing more; it may still listen */
        bool        left;    /* it is gone; what it said before is still to be heard */
        bool        watched, listening; /* fd, listen_fd */
        bool        deaf;    /* no descriptor to be had for a client: tried again at the guest's next bell */
        bool        told_deaf;
        uint32_t    events;  /* of fd, while it is watched */
        bool        told;    /* that a file cannot be written */
        uint8_t    *out;     /* what the guest wrote and nobody has taken yet */
        size_t      out_len, out_done, out_cap;
};

struct console_port {
        bool     exists;          /* the driver is told of it */
        bool     known;           /* it was, or is just being */
        bool     guest_connected; /* somebody in the guest has it open */
        bool     host_connected;  /* as the driver was told last */
        uint32_t pending;         /* messages for the driver, a bit per event */
};

struct console {
        struct virtio_device d;
        /* set by new, then read-only */
        uint16_t cols, rows;
        uint32_t max_ports;
        /* worker; the session thread while there is none or it is parked */
        struct later           later;
        struct console_backend back;
        struct console_port    ports[VIRTIO_CONSOLE_PORTS_MAX];
        bool                   told_failure; /* of the driver's */
        bool                   in_starved; /* the guest has no room for input: wait for its bell */
};

static inline bool console_has_ports(const struct console *c)
{
        return c->d.features & CONSOLE_F_MULTIPORT;
}

/* console_ctrl.c */
/* Takes what the driver says. True: there may be more. */
bool console_ctrl_listen(struct console *c);
/* Tells the driver what is pending, as far as it gives buffers. */
void console_ctrl_tell(struct console *c);
/* The other end of port 0 came or went, or a restored one is not as it was. */
void console_ctrl_connected(struct console *c, uint32_t port, bool connected);

/* console_port.c */
int  console_port_open(struct console *c, const struct device_config *cfg, struct err *e);
void console_port_close(struct console *c);
bool console_port_connected(const struct console *c);
/* Watches what is of use now; at begin, and whenever that changes. */
void console_port_watch(struct console *c);
/* From now on nothing is watched; the worker ends. */
void console_port_unwatch(struct console *c);
/* Guest to host: true, there may be more. */
bool console_port_drain(struct console *c);
/* Lets go of a client that left. True: it still has something to say. */
bool console_port_farewell(struct console *c);
/* A descriptor of the port has these events. */
void console_port_ready(struct console *c, int fd, uint32_t events);
