/* Accepts, receives, sends and drops: with a command that is carried out in the middle of another one in mind, so a client is
 * freed only when nobody on the stack speaks of him any more. */
#include "core/control/clients.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RECEIVE_BYTES (16 * KIB)

struct client {
        struct clients *of;
        int             fd; /* -1: gone, and freed when nobody holds him */
        unsigned int    held;
        void           *state;
};

struct clients {
        struct session           *session;
        const struct clients_ops *ops;
        void                     *arg;
        int                       listen_fd;
        struct client            *v[CLIENTS_MAX];
};

static void free_client(struct client *c)
{
        if (c->state)
                c->of->ops->left(c->state);
        free(c);
}

static void drop(struct client *c)
{
        struct clients *cs = c->of;

        if (c->fd < 0)
                return;
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (cs->v[i] == c)
                        cs->v[i] = NULL;
        session_unwatch(cs->session, c->fd);
        close(c->fd);
        c->fd = -1;
        if (!c->held)
                free_client(c);
}

/* While he is held his state stays, though he may hang up. */
static void client_hold(struct client *c)
{
        c->held++;
}

static void client_release(struct client *c)
{
        if (--c->held == 0 && c->fd < 0)
                free_client(c);
}

static bool send_line(int fd, const char *line, const char *eol)
{
        struct iovec v[2] = {{.iov_base = (void *)(uintptr_t)line, .iov_len = strlen(line)},
                             {.iov_base = (void *)(uintptr_t)eol, .iov_len = strlen(eol)}};
        struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};

        return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(v[0].iov_len + v[1].iov_len);
}

/* Lines are short: one that does not fit the socket's buffer means a client that does not read. */
void client_send(struct client *c, const char *line)
{
        if (c->fd >= 0 && !send_line(c->fd, line, c->of->ops->eol))
                drop(c);
}

void clients_send_all(struct clients *cs, const char *line)
{
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (cs->v[i])
                        client_send(cs->v[i], line);
}

static void client_ready(void *arg, int fd, short revents)
{
        struct client *c = arg;
        char bytes[RECEIVE_BYTES];
        ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        (void)revents;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        client_hold(c);
        if (n <= 0 || !c->of->ops->received(c->state, bytes, (size_t)n))
                drop(c);
        client_release(c);
}

static struct client *make_client(struct clients *cs, int fd)
{
        struct client *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        *c = (struct client){.of = cs, .fd = fd};
        if (session_watch(cs->session, fd, POLLIN, client_ready, c) < 0) {
                free(c);
                return NULL;
        }
        return c;
}

/* True when a client joined: not when there is no room, no descriptor or no memory for him. */
static bool accept_one(struct clients *cs)
{
        _cleanup_close_ int fd = accept4(cs->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        struct client *c;
        size_t i = 0;

        while (i < CLIENTS_MAX && cs->v[i])
                i++;
        if (fd >= 0 && i == CLIENTS_MAX)
                (void)send_line(fd, cs->ops->full, cs->ops->eol);
        if (fd < 0 || i == CLIENTS_MAX)
                return false;
        c = make_client(cs, fd);
        if (!c)
                return false;
        TAKE_FD(fd);
        cs->v[i] = c;
        client_hold(c); /* what is sent on joining may drop him */
        c->state = cs->ops->joined(cs->arg, c);
        if (!c->state)
                drop(c);
        client_release(c);
        return true;
}

static void listen_ready(void *arg, int listen_fd, short revents)
{
        (void)listen_fd, (void)revents;
        (void)accept_one(arg);
}

int clients_new(struct session *s, int listen_fd, const struct clients_ops *ops, void *arg, struct clients **ret)
{
        struct clients *cs = calloc(1, sizeof(*cs));
        int r;

        if (!cs)
                return -ENOMEM;
        *cs = (struct clients){.session = s, .ops = ops, .arg = arg, .listen_fd = listen_fd};
        r = session_watch(s, listen_fd, POLLIN, listen_ready, cs);
        if (r < 0) {
                free(cs);
                return r;
        }
        *ret = cs;
        return 0;
}

void clients_free(struct clients *cs)
{
        if (!cs)
                return;
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (cs->v[i])
                        drop(cs->v[i]);
        session_unwatch(cs->session, cs->listen_fd);
        free(cs);
}

static bool has_input(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};

        return poll(&p, 1, 0) > 0;
}

void clients_serve(struct clients *cs)
{
        while (has_input(cs->listen_fd) && accept_one(cs))
                ; /* one that could not join a time: the others' turn comes, and who cannot be accepted stays in line */
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (cs->v[i] && has_input(cs->v[i]->fd))
                        client_ready(cs->v[i], cs->v[i]->fd, POLLIN);
}
