/* bench/run/peer_serial.h: where the bytes of a peer's guest come from: a pty, a FIFO, a socket.
 * Owns:    descriptors and the files at path, until peer_serial_free.
 * Threads: one.
 * Blocks:  peer_serial_attach until the VMM has connected, or named its pty, or the run's limits. */
#pragma once

#include "bench/run/guest_run.h"
#include "bench/run/peer_file.h"

struct peer_serial_port {
        const struct peer *peer;
        char              *path;      /* {serial}; "" where it has none */
        int                master_fd; /* of our pty, or the FIFO */
        int                slave_fd, listen_fd;
};

/* Before the program starts: what has to be there by then. */
int peer_serial_open(struct peer_serial_port *s, const struct peer *p, const struct peer_vars *vars, struct err *e);
/* After it was started: gives g its serial_fd. GUEST_OTHER: done (or: an answer will name it); else what ended the wait; a
 * negative errno and *e: failed. */
int peer_serial_attach(struct peer_serial_port *s, struct guest_run *g, struct err *e);
/* The pty that an answer named; "pty:" before it (QEMU's way) is left out. */
int peer_serial_named(struct guest_run *g, const char *name, struct err *e);
void peer_serial_free(struct peer_serial_port *s);
