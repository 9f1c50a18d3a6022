/* connect(2), inotify(7). */
#include "bench/run/peer_connect.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

/* Between bind(2), which makes the file, and listen(2). */
#define LISTEN_NS (20 * NS_PER_US)
/* A socket file that was there before, and that nobody listens at yet, tells nobody when somebody does. */
#define LISTEN_TRIES 50

static int watch_directory_of(const char *path)
{
        char dir[PATH_MAX];
        int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

        snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path + 1), path);
        if (fd >= 0 && inotify_add_watch(fd, dir, IN_CREATE | IN_MOVED_TO) < 0) {
                close(fd);
                return -1;
        }
        return fd;
}

int peer_connect(struct guest_run *g, const char *path, int *ret_fd, struct err *e)
{
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = -1, news = -1;
        unsigned tries = 0;

        if (strlen(path) >= sizeof(to.sun_path))
                return err_set(e, -ENAMETOOLONG, "%s: too long for a unix socket (%zu bytes)", path, sizeof(to.sun_path) - 1);
        memcpy(to.sun_path, path, strlen(path) + 1);
        news = watch_directory_of(path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_set(e, -errno, "socket: %s", strerror(errno));
        while (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
                enum guest_event ev;
                char events[4096];

                if (errno != ENOENT && errno != ECONNREFUSED && errno != EAGAIN && errno != EINTR)
                        return err_set(e, -errno, "%s: %s", path, strerror(errno));
                if (errno == ECONNREFUSED && tries++ < LISTEN_TRIES) {
                        nanosleep(&(struct timespec){.tv_nsec = (long)LISTEN_NS}, NULL);
                        continue;
                }
                ev = guest_run_wait(g, news, POLLIN, now_ns() + (news >= 0 && errno == ENOENT ? 50 : 1) * NS_PER_MS);
                if (ev == GUEST_OTHER && read(news, events, sizeof(events)) < 0 && errno != EAGAIN)
                        return err_set(e, -errno, "inotify: %s", strerror(errno));
                if (ev != GUEST_OTHER && ev != GUEST_LIMIT)
                        return (int)ev;
        }
        *ret_fd = TAKE_FD(fd);
        return GUEST_OTHER;
}
