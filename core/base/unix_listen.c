/* A socket file outlives whoever listened at it; whether somebody still does, only connect(2) can tell. */
#include "core/base/unix_listen.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int remove_stale(const struct sockaddr_un *a, struct err *e)
{
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (lstat(a->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : err_set(e, -errno, "%s: %s", a->sun_path, strerror(errno));
        if (!S_ISSOCK(st.st_mode))
                return err_set(e, -EEXIST, "%s: expected a free name for a socket, found a file of another kind", a->sun_path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_set(e, -errno, "socket: %s", strerror(errno));
        if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno != ECONNREFUSED)
                return err_set(e, -EADDRINUSE, "%s: expected a free name for a socket, found one that is in use", a->sun_path);
        if (unlink(a->sun_path) < 0 && errno != ENOENT)
                return err_set(e, -errno, "remove %s: %s", a->sun_path, strerror(errno));
        return 0;
}

int unix_listen(const char *path, int backlog, struct err *e)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = -1;
        mode_t before;
        int r;

        if (strlen(path) >= sizeof(a.sun_path))
                return err_set(e, -ENAMETOOLONG, "%s: expected a path of at most %zu bytes for a socket", path,
                               sizeof(a.sun_path) - 1);
        memcpy(a.sun_path, path, strlen(path));
        r = remove_stale(&a, e);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_set(e, -errno, "socket: %s", strerror(errno));
        before = umask(0177); /* not for a moment may anybody else connect */
        r = bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
        umask(before);
        if (r >= 0 && listen(fd, backlog) < 0)
                r = -errno;
        if (r < 0)
                return err_set(e, r, "listen at %s: %s", path, strerror(-r));
        return TAKE_FD(fd);
}
