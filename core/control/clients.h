/* core/control/clients.h: those who are connected to a listening unix socket, served by the session thread. What the named VMs'
 * socket and QMP have in common; what the bytes mean is the ops' affair.
 * Owns:    the clients' descriptors; borrows the listening one.
 * Threads: session thread.
 * Blocks:  never: a client that does not read what it is sent is dropped. */
#pragma once

#include "core/session.h"

#include <stddef.h>

#define CLIENTS_MAX 8

struct client;
struct clients;

struct clients_ops {
        const char *eol;  /* ends every line sent */
        const char *full; /* the line for the one who is one too many */
        /* Somebody came: what is kept of him, handed to the other two; NULL: he is sent away. */
        void *(*joined)(void *arg, struct client *c);
        /* He sent bytes. False: he is to go. */
        bool (*received)(void *state, const char *bytes, size_t len_bytes);
        /* He is gone: frees the state. Never while `received` runs for him, nor while he is held. */
        void (*left)(void *state);
};

/* Listens at once; arg is handed to joined. */
int  clients_new(struct session *s, int listen_fd, const struct clients_ops *ops, void *arg, struct clients **ret);
void clients_free(struct clients *cs); /* accepts NULL; before session_free, and not from an op */

/* Serves whoever waits just now: for a session thread that is busy inside a command, and before it runs. */
void clients_serve(struct clients *cs);

/* One line, to one or to all. He to whom it cannot be sent at once and whole is dropped. */
void client_send(struct client *c, const char *line);
void clients_send_all(struct clients *cs, const char *line);
