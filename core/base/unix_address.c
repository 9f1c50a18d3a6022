/* A long path is reached through a descriptor of its directory: /proc/self/fd/N/NAME, proc(5). */
#include "core/base/unix_address.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int unix_address(const char *path, struct sockaddr_un *ret, int *ret_dir_fd)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir = NULL;
        _cleanup_close_ int fd = -1;
        int n;

        if (strlen(path) < sizeof(a.sun_path)) {
                memcpy(a.sun_path, path, strlen(path));
                *ret = a;
                *ret_dir_fd = -1;
                return 0;
        }
        if (!slash || slash == path)
                return -ENAMETOOLONG;
        dir = strndup(path, (size_t)(slash - path));
        if (!dir)
                return -ENOMEM;
        fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", fd, slash + 1);
        if (n < 0 || (size_t)n >= sizeof(a.sun_path))
                return -ENAMETOOLONG;
        *ret = a;
        *ret_dir_fd = TAKE_FD(fd);
        return 0;
}
