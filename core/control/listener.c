/* A name is taken away from nobody: only a socket that refuses connections is dead. */
#include "core/control/listener.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define BACKLOG 8

static int make_address(const char *path, struct sockaddr_un *ret, struct err *e)
{
        size_t len = strlen(path);

        *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
        if (len == 0 || len >= sizeof(ret->sun_path))
                return err_usage(e, "socket path '%s': expected 1 to %zu bytes, found %zu", path, sizeof(ret->sun_path) - 1, len);
        memcpy(ret->sun_path, path, len);
        return 0;
}

/* Makes room at the path where a dead socket is. */
static int clear_way(const struct sockaddr_un *a, struct err *e)
{
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (lstat(a->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : err_set(e, -errno, "%s: %s", a->sun_path, strerror(errno));
        if (!S_ISSOCK(st.st_mode))
                return err_set(e, -EEXIST, "%s: expected nothing or a socket, found something else; take another path or remove it", a->sun_path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_set(e, -errno, "socket: %s", strerror(errno));
        if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno != ECONNREFUSED)
                return err_set(e, -EADDRINUSE, "%s: somebody listens there already; take another path", a->sun_path);
        return unlink(a->sun_path) < 0 && errno != ENOENT ? err_set(e, -errno, "remove the dead socket %s: %s", a->sun_path, strerror(errno)) : 0;
}

int listener_open(const char *path, struct listener *ret, struct err *e)
{
        _cleanup_close_ int fd = -1;
        struct sockaddr_un a;
        struct stat st;
        int r = make_address(path, &a, e);

        if (r >= 0)
                r = clear_way(&a, e);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_set(e, -errno, "socket: %s", strerror(errno));
        if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
                return err_set(e, -errno, "bind %s: %s", path, strerror(errno));
        if (listen(fd, BACKLOG) < 0 || lstat(path, &st) < 0) {
                r = -errno;
                unlink(path);
                return err_set(e, r, "listen at %s: %s", path, strerror(-r));
        }
        *ret = (struct listener){.fd = TAKE_FD(fd), .address = a, .dev = st.st_dev, .ino = st.st_ino};
        return 0;
}

void listener_close(struct listener *l)
{
        struct stat st;

        if (l->fd < 0)
                return;
        if (lstat(l->address.sun_path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
                unlink(l->address.sun_path);
        close(l->fd);
        l->fd = -1;
}
