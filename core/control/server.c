/* Named VMs listen on a socket of their own; every command runs on the session thread, so none can race with another. */
#include "core/control/server.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "core/control/clients.h"
#include "core/control/commands.h"
#include "core/control/socket_path.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define REQUEST_MAX (64 * KIB)

/* A client's line, as far as it has come. */
struct line_reader {
        struct control_server *server;
        struct client         *client;
        size_t                 len;
        char                   buf[REQUEST_MAX + 1];
};

struct control_server {
        struct session    *session;
        struct sockaddr_un address;
        int                lock_fd, listen_fd;
        struct clients    *clients;
};

static void answer_line(const struct line_reader *l)
{
        struct json_object *answer = control_execute(l->server->session, l->buf);

        client_send(l->client, json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
        json_object_put(answer);
}

/* Carries out every whole line that has come. */
static void take_lines(struct line_reader *l)
{
        char *nl;

        while ((nl = memchr(l->buf, '\n', l->len))) {
                size_t used = (size_t)(nl - l->buf) + 1;

                *nl = 0;
                answer_line(l);
                memmove(l->buf, l->buf + used, l->len - used);
                l->len -= used;
        }
}

static bool on_received(void *state, const char *bytes, size_t len_bytes)
{
        struct line_reader *l = state;

        while (len_bytes > 0) {
                size_t n = MIN(len_bytes, REQUEST_MAX - l->len);

                memcpy(l->buf + l->len, bytes, n);
                l->len += n;
                bytes += n;
                len_bytes -= n;
                take_lines(l);
                if (l->len == REQUEST_MAX)
                        return false;
        }
        return true;
}

static void *on_joined(void *arg, struct client *c)
{
        struct line_reader *l = malloc(sizeof(*l));

        if (l) {
                l->server = arg;
                l->client = c;
                l->len = 0;
        }
        return l;
}

static const struct clients_ops line_clients = {
        .eol = "\n",
        .full = "{\"error\":{\"class\":\"GenericError\",\"desc\":\"8 clients are connected already\"}}",
        .joined = on_joined,
        .received = on_received,
        .left = free,
};

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
                return err_set(e, -EPERM, "%s: expected a directory of user %u that nobody else can write to, found another; "
                               "set XDG_RUNTIME_DIR",
                               runtime_dir, (unsigned)geteuid());
        return 0;
}

/* NAME.lock stands beside NAME.sock. */
static void lock_path_of(const struct sockaddr_un *a, char ret[sizeof(a->sun_path)])
{
        memcpy(ret, a->sun_path, sizeof(a->sun_path));
        memcpy(strrchr(ret, '.'), ".lock", sizeof(".lock"));
}

/* -ESTALE: whoever had the name has removed the file between our opening it and our locking it. */
static int lock(const char *path, const char *name, struct err *e)
{
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        struct stat st;

        if (fd < 0)
                return err_set(e, -errno, "open %s: %s", path, strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return err_taken(name, e);
        if (fstat(fd, &st) < 0 || !st.st_nlink)
                return -ESTALE;
        return TAKE_FD(fd);
}

/* The lock, not the socket, says whether the name is taken: a socket outlives a VM that was killed. */
int control_name_take(const char *runtime_dir, const char *name, struct err *e)
{
        struct sockaddr_un a;
        char path[sizeof(a.sun_path)];
        int r = control_address(runtime_dir, name, &a, e);

        if (r < 0)
                return r;
        r = fd_make_dirs(runtime_dir, 0700);
        if (r < 0)
                return err_set(e, r, "make %s: %s", runtime_dir, strerror(-r));
        r = check_owner(runtime_dir, e);
        if (r < 0)
                return r;
        lock_path_of(&a, path);
        do
                r = lock(path, name, e);
        while (r == -ESTALE);
        return r;
}

/* The file goes while it is still locked: who opened it before finds out by its link count. */
static void leave(const struct sockaddr_un *a, int fd)
{
        char path[sizeof(a->sun_path)];

        if (a->sun_path[0]) {
                lock_path_of(a, path);
                unlink(path);
        }
        close(fd);
}

void control_name_leave(const char *runtime_dir, const char *name, int fd)
{
        struct sockaddr_un a = {0};
        struct err e = {0};

        (void)control_address(runtime_dir, name, &a, &e); /* it was good when the name was taken */
        leave(&a, fd);
}

static int listen_at(struct control_server *srv, struct err *e)
{
        const char *path = srv->address.sun_path;
        int r;

        unlink(path);
        srv->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (srv->listen_fd < 0 || bind(srv->listen_fd, (struct sockaddr *)&srv->address, sizeof(srv->address)) < 0 ||
            listen(srv->listen_fd, CLIENTS_MAX) < 0)
                return err_set(e, -errno, "listen at %s: %s", path, strerror(errno));
        r = clients_new(srv->session, srv->listen_fd, &line_clients, srv, &srv->clients);
        return r < 0 ? err_set(e, r, "listen at %s: %s", path, strerror(-r)) : 0;
}

int control_server_new(struct session *s, const char *runtime_dir, const char *name, int name_fd, struct control_server **ret,
                       struct err *e)
{
        struct control_server *srv = calloc(1, sizeof(*srv));
        int r;

        if (!srv) {
                control_name_leave(runtime_dir, name, name_fd);
                return err_set(e, -ENOMEM, "no memory for a control socket");
        }
        srv->session = s;
        srv->lock_fd = name_fd;
        srv->listen_fd = -1;
        r = control_address(runtime_dir, name, &srv->address, e);
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
        clients_free(srv->clients);
        if (srv->listen_fd >= 0) {
                unlink(srv->address.sun_path);
                close(srv->listen_fd);
        }
        if (srv->lock_fd >= 0)
                leave(&srv->address, srv->lock_fd);
        free(srv);
}
