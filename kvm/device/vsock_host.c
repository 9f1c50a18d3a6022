/* kvm/device/vsock_host.c: a vsock's unix sockets: the one that listens, what its clients say first, those that a guest calls. */
#include "kvm/device/vsock_host.h"

#include "core/base/cleanup.h"
#include "core/base/unix_listen.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG       128
#define PORT_SUFFIX   sizeof("_4294967294") /* with the NUL */
#define PATH_MAX_LEN  (sizeof(((struct sockaddr_un *)NULL)->sun_path) - PORT_SUFFIX)
#define COMMAND       "CONNECT "
#define SOCKET_FLAGS  (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)

struct vsock_listener {
        int   fd;
        char *path;
        dev_t dev; /* of the file that bind made */
        ino_t ino;
};

static int connect_to(const char *path)
{
        struct sockaddr_un  a = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);

        if (fd < 0)
                return -errno;
        snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
        if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int vsock_host_connect(const char *path, uint32_t port)
{
        char at_port[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
        int  n = snprintf(at_port, sizeof(at_port), "%s_%u", path, port);

        return n < 0 || (size_t)n >= sizeof(at_port) ? -ENAMETOOLONG : connect_to(at_port);
}

/* --- listening --- */

int vsock_listen(const char *path, struct vsock_listener **ret, struct err *e)
{
        _cleanup_free_ struct vsock_listener *l = calloc(1, sizeof(*l));
        _cleanup_free_ char                  *copy = strdup(path);
        _cleanup_close_ int                   fd = -1;
        struct stat                           st;

        if (!l || !copy)
                return err_set(e, -ENOMEM, "%s: no memory", path);
        if (!*path || strlen(path) > PATH_MAX_LEN)
                return err_usage(e, "%s: expected a path of 1 to %zu characters, so that path_PORT fits, too; found %zu", path,
                                 PATH_MAX_LEN, strlen(path));
        fd = unix_listen(path, BACKLOG, e);
        if (fd < 0)
                return fd;
        if (lstat(path, &st) < 0)
                return err_set(e, -errno, "%s: just made, and gone: %s", path, strerror(errno));
        *l = (struct vsock_listener){ .fd = TAKE_FD(fd), .path = TAKE_PTR(copy), .dev = st.st_dev, .ino = st.st_ino };
        *ret = TAKE_PTR(l);
        return 0;
}

void vsock_listener_free(struct vsock_listener *l)
{
        struct stat st;

        if (!l)
                return;
        /* somebody may have put another there meanwhile */
        if (lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
                unlink(l->path);
        close(l->fd);
        free(l->path);
        free(l);
}

int vsock_listener_fd(const struct vsock_listener *l)
{
        return l->fd;
}

int vsock_listener_accept(const struct vsock_listener *l)
{
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* --- a client's first line --- */

/* text: the line without its newline. */
static int parse_command(const char *text, uint32_t *ret_port)
{
        unsigned long long port;
        char              *end;

        if (strncasecmp(text, COMMAND, strlen(COMMAND)) || !isdigit((unsigned char)text[strlen(COMMAND)]))
                return -EPROTO;
        port = strtoull(text + strlen(COMMAND), &end, 10); /* at most 22 digits: an overflow is ULLONG_MAX */
        if (*end || port >= UINT32_MAX)                   /* the last port stands for any (vsock(7)) */
                return -EPROTO;
        *ret_port = (uint32_t)port;
        return 1;
}

int vsock_client_command(int fd, struct vsock_line *line, uint32_t *ret_guest_port)
{
        char   *to = line->text + line->len, *newline;
        size_t  room = sizeof(line->text) - line->len;
        ssize_t n = recv(fd, to, room, MSG_PEEK | MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ECONNRESET;
        /* only the line: what follows it is the guest's */
        newline = memchr(to, '\n', (size_t)n);
        n = recv(fd, to, newline ? (size_t)(newline + 1 - to) : (size_t)n, MSG_DONTWAIT);
        if (n <= 0)
                return n < 0 ? -errno : -ECONNRESET;
        line->len += (size_t)n;
        if (!newline)
                return line->len < sizeof(line->text) ? 0 : -EPROTO;
        *newline = '\0';
        return memchr(line->text, '\0', line->len) == newline ? parse_command(line->text, ret_guest_port) : -EPROTO;
}

int vsock_client_ok(int fd, uint32_t host_port)
{
        char line[32];
        int  len = snprintf(line, sizeof(line), "OK %u\n", host_port);

        return send(fd, line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) == len ? 0 : -EPIPE;
}
