/* The session's console writes to whoever is connected; here clients come and go, and what they type is passed on. */
#include "tools/serial_socket.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/base/unix_listen.h"
#include "tools/serial_input.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

struct serial_socket {
        char                *path;
        int                  listen_fd, client_fd;
        struct session      *session; /* NULL until it is served */
        struct serial_input *input;
        bool                 full; /* the client is not read until the guest has taken what waits */
};

static void accept_client(void *arg, int fd, short revents);

static void watch_clients(struct serial_socket *ss)
{
        /* there is room: the last client's was given back */
        session_watch(ss->session, ss->listen_fd, POLLIN, accept_client, ss);
}

static void drop_client(struct serial_socket *ss)
{
        session_serial_to(ss->session, -1);
        session_unwatch(ss->session, ss->client_fd);
        close(ss->client_fd);
        ss->client_fd = -1;
        ss->full = false;
}

static void typed(void *arg, int fd, short revents);

/* The client that there is already, for other events. */
static void watch_client(struct serial_socket *ss, short events)
{
        session_unwatch(ss->session, ss->client_fd);
        session_watch(ss->session, ss->client_fd, events, typed, ss);
}

static void leave(struct serial_socket *ss)
{
        drop_client(ss);
        watch_clients(ss);
}

static void typed(void *arg, int fd, short revents)
{
        struct serial_socket *ss = arg;
        uint8_t bytes[1024];
        size_t room = serial_input_room(ss->input);
        ssize_t n;

        if (room == 0 && revents & (POLLHUP | POLLERR)) {
                leave(ss); /* what it typed last it did not wait for */
                return;
        }
        if (room == 0) {
                watch_client(ss, 0); /* that it hangs up is told all the same */
                ss->full = true;
                return;
        }
        n = recv(fd, bytes, MIN(sizeof(bytes), room), 0);
        if (n > 0)
                serial_input_put(ss->input, bytes, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                leave(ss);
}

static void emptied(void *arg)
{
        struct serial_socket *ss = arg;

        if (!ss->full)
                return;
        ss->full = false;
        watch_client(ss, POLLIN);
}

static void accept_client(void *arg, int fd, short revents)
{
        struct serial_socket *ss = arg;
        (void)revents;

        ss->client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (ss->client_fd < 0)
                return;
        session_unwatch(ss->session, fd); /* the next one waits in the backlog */
        session_watch(ss->session, ss->client_fd, POLLIN, typed, ss);
        session_serial_to(ss->session, ss->client_fd);
}

int serial_socket_new(const char *path, struct serial_socket **ret, struct err *e)
{
        struct serial_socket *ss = calloc(1, sizeof(*ss));
        int r = 0;

        if (ss)
                ss->path = strdup(path);
        if (!ss || !ss->path) {
                free(ss);
                return err_set(e, -ENOMEM, "no memory for the serial socket");
        }
        ss->client_fd = -1;
        ss->listen_fd = r = unix_listen(path, 1, e);
        if (r < 0) {
                serial_socket_free(ss);
                return err_wrap(e, r, "--serial unix");
        }
        *ret = ss;
        return 0;
}

int serial_socket_serve(struct serial_socket *ss, struct session *s, struct err *e)
{
        int r = serial_input_new(s, emptied, ss, &ss->input, e);

        if (r < 0)
                return r;
        ss->session = s;
        r = session_watch(s, ss->listen_fd, POLLIN, accept_client, ss);
        return r < 0 ? err_set(e, r, "serial socket %s: %s", ss->path, strerror(-r)) : 0;
}

void serial_socket_free(struct serial_socket *ss)
{
        if (!ss)
                return;
        if (ss->client_fd >= 0)
                drop_client(ss);
        if (ss->session)
                session_unwatch(ss->session, ss->listen_fd);
        serial_input_free(ss->input);
        if (ss->listen_fd >= 0) {
                unlink(ss->path);
                close(ss->listen_fd);
        }
        free(ss->path);
        free(ss);
}
