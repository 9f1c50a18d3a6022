/* Named VMs listen on a socket of their own; every command runs on the session thread, so none can race with another. */
#include "core/control/server.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "core/control/commands.h"
#include "core/control/socket_path.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CLIENTS_MAX  8
#define REQUEST_MAX  (64 * KIB)

struct client {
        struct control_server *server;
        int                    fd;
        size_t                 len;
        char                  *buf; /* REQUEST_MAX + 1 bytes */
};

struct control_server {
        struct session    *session;
        struct sockaddr_un address;
        int                lock_fd, listen_fd;
        struct client     *clients[CLIENTS_MAX];
};

static void drop(struct client *c)
{
        struct control_server *srv = c->server;

        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (srv->clients[i] == c)
                        srv->clients[i] = NULL;
        session_unwatch(srv->session, c->fd);
        close(c->fd);
        free(c->buf);
        free(c);
}

/* Replies are short: one that does not fit the socket's buffer means a client that does not read, and it is dropped. */
static bool reply(const struct client *c, struct json_object *answer)
{
        const char *text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
        size_t len = strlen(text);
        struct iovec v[2] = {{.iov_base = (void *)(uintptr_t)text, .iov_len = len}, {.iov_base = (char[]){'\n'}, .iov_len = 1}};
        struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};

        return sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len + 1;
}

static bool answer_line(const struct client *c, const char *line)
{
        struct json_object *answer = control_execute(c->server->session, line);
        bool ok = reply(c, answer);

        json_object_put(answer);
        return ok;
}

/* Carries out every whole line that has come. False: the client is to go. */
static bool take_lines(struct client *c)
{
        char *nl;

        while ((nl = memchr(c->buf, '\n', c->len))) {
                size_t used = (size_t)(nl - c->buf) + 1;

                *nl = 0;
                if (!answer_line(c, c->buf))
                        return false;
                memmove(c->buf, c->buf + used, c->len - used);
                c->len -= used;
        }
        return c->len < REQUEST_MAX;
}

static void client_ready(void *arg, int fd, short revents)
{
        struct client *c = arg;
        ssize_t n = recv(fd, c->buf + c->len, REQUEST_MAX - c->len, MSG_DONTWAIT);
        (void)revents;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0)
                c->len += (size_t)n;
        if (n <= 0 || !take_lines(c))
                drop(c);
}

static struct client *client_new(struct control_server *srv, int fd)
{
        struct client *c = calloc(1, sizeof(*c));

        if (c)
                c->buf = malloc(REQUEST_MAX + 1);
        if (!c || !c->buf) {
                free(c);
                return NULL;
        }
        c->server = srv;
        c->fd = fd;
        return c;
}

static void listen_ready(void *arg, int listen_fd, short revents)
{
        struct control_server *srv = arg;
        _cleanup_close_ int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        static const char too_many[] = "{\"error\":{\"class\":\"GenericError\",\"desc\":\"8 clients are connected already\"}}\n";
        size_t i = 0;
        (void)revents;

        while (i < CLIENTS_MAX && srv->clients[i])
                i++;
        if (fd >= 0 && i == CLIENTS_MAX)
                (void)send(fd, too_many, strlen(too_many), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (fd < 0 || i == CLIENTS_MAX)
                return;
        srv->clients[i] = client_new(srv, fd);
        if (!srv->clients[i])
                return;
        TAKE_FD(fd);
        if (session_watch(srv->session, srv->clients[i]->fd, POLLIN, client_ready, srv->clients[i]) < 0)
                drop(srv->clients[i]);
}

static int err_taken(const char *name, struct err *e)
{
        return err_set(e, -EADDRINUSE, "a VM named '%s' is running already; give this one another --name", name);
}

/* In /tmp anybody can make the directory first, and then put his own socket in place of ours. */
static int check_owner(const char *runtime_dir, struct err *e)
{
        struct stat st;

        if (lstat(runtime_dir, &st) < 0)
                return err_set(e, -errno, "%s: %s", runtime_dir, strerror(errno));
        if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
                return err_set(e, -EPERM, "%s: expected a directory of user %u that nobody else can write to, found another; set XDG_RUNTIME_DIR",
                               runtime_dir, (unsigned)geteuid());
        return 0;
}

/* The lock, not the socket, says whether the name is taken: a socket outlives a VM that was killed. */
static int take_name(struct control_server *srv, const char *runtime_dir, const char *name, struct err *e)
{
        char path[sizeof(srv->address.sun_path) + 8];
        int r = control_address(runtime_dir, name, &srv->address, e);

        if (r < 0)
                return r;
        r = fd_make_dirs(runtime_dir, 0700);
        if (r < 0)
                return err_set(e, r, "make %s: %s", runtime_dir, strerror(-r));
        r = check_owner(runtime_dir, e);
        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "%s/%s.lock", runtime_dir, name);
        srv->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (srv->lock_fd < 0)
                return err_set(e, -errno, "open %s: %s", path, strerror(errno));
        return flock(srv->lock_fd, LOCK_EX | LOCK_NB) < 0 ? err_taken(name, e) : 0;
}

int control_name_check(const char *runtime_dir, const char *name, struct err *e)
{
        struct sockaddr_un a;
        char path[sizeof(a.sun_path) + 8];
        _cleanup_close_ int fd = -1;
        int r = control_address(runtime_dir, name, &a, e);

        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "%s/%s.lock", runtime_dir, name);
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
                return err_taken(name, e);
        return 0;
}

static int listen_at(struct control_server *srv, struct err *e)
{
        const char *path = srv->address.sun_path;

        unlink(path);
        srv->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (srv->listen_fd < 0 || bind(srv->listen_fd, (struct sockaddr *)&srv->address, sizeof(srv->address)) < 0 ||
            listen(srv->listen_fd, CLIENTS_MAX) < 0)
                return err_set(e, -errno, "listen at %s: %s", path, strerror(errno));
        return session_watch(srv->session, srv->listen_fd, POLLIN, listen_ready, srv);
}

int control_server_new(struct session *s, const char *runtime_dir, const char *name, struct control_server **ret, struct err *e)
{
        struct control_server *srv = calloc(1, sizeof(*srv));
        int r;

        if (!srv)
                return err_set(e, -ENOMEM, "no memory for a control socket");
        srv->session = s;
        srv->lock_fd = srv->listen_fd = -1;
        r = take_name(srv, runtime_dir, name, e);
        if (r >= 0)
                r = listen_at(srv, e);
        if (r < 0) {
                control_server_free(srv);
                return r;
        }
        *ret = srv;
        return 0;
}

void control_server_free(struct control_server *srv)
{
        if (!srv)
                return;
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                if (srv->clients[i])
                        drop(srv->clients[i]);
        if (srv->listen_fd >= 0) {
                session_unwatch(srv->session, srv->listen_fd);
                unlink(srv->address.sun_path);
                close(srv->listen_fd);
        }
        /* The lock file stays: removing it would race with the next VM of that name, which may have it open. */
        if (srv->lock_fd >= 0)
                close(srv->lock_fd);
        free(srv);
}
