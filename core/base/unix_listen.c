/* A socket file outlives whoever listened at it; whether somebody still does, only connect(2) can tell. */
#include "core/base/unix_listen.h"

#include "core/base/cleanup.h"
#include "core/base/unix_address.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int remove_stale(const char *path, const struct sockaddr_un *a, struct err *e)
{
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : err_set(e, -errno, "%s: %s", path, strerror(errno));
        if (!S_ISSOCK(st.st_mode))
                return err_set(e, -EEXIST, "%s: expected a free name for a socket, found a file of another kind", path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_set(e, -errno, "socket: %s", strerror(errno));
        if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno != ECONNREFUSED)
                return err_set(e, -EADDRINUSE, "%s: expected a free name for a socket, found one that is in use", path);
        if (unlink(path) < 0 && errno != ENOENT)
                return err_set(e, -errno, "remove %s: %s", path, strerror(errno));
        return 0;
}

int unix_listen(const char *path, int backlog, struct err *e)
{
        struct sockaddr_un a;
        _cleanup_close_ int dir_fd = -1, fd = -1;
        mode_t before;
        int r = unix_address(path, &a, &dir_fd);

        if (r < 0)
                return err_set(e, r, "listen at %s: %s", path, strerror(-r));
        r = remove_stale(path, &a, e);
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
