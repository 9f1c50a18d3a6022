/* Descriptors over a socket: SCM_RIGHTS, unix(7). */
#include "core/template_socket.h"

#include "core/base/cleanup.h"
#include "core/base/thread.h"
#include "core/base/units.h"
#include "core/base/unix_address.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MS 500 /* arbitrary: an answer takes 0.1 ms, and a user waits */

static bool is_same_user(int fd)
{
        struct ucred cred;
        socklen_t len = sizeof(cred);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.uid == geteuid();
}

/* --- asking --- */

static int connect_to(const char *path)
{
        struct sockaddr_un a;
        _cleanup_close_ int dir_fd = -1, fd = -1;
        int r = unix_address(path, &a, &dir_fd);

        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
                return errno == ECONNREFUSED ? -ENOENT : errno == EAGAIN ? -ETIMEDOUT : -errno; /* EAGAIN: too many wait there already */
        return is_same_user(fd) ? TAKE_FD(fd) : -EPERM;
}

static void close_all(int *fds, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                close(fds[i]);
}

/* The descriptors that came; their number. */
static size_t take_fds(struct msghdr *m, int fds[TEMPLATE_FDS])
{
        struct cmsghdr *c = CMSG_FIRSTHDR(m);
        size_t nr;

        if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                return 0;
        nr = MIN((c->cmsg_len - CMSG_LEN(0)) / sizeof(int), (size_t)TEMPLATE_FDS);
        memcpy(fds, CMSG_DATA(c), nr * sizeof(int));
        return nr;
}

static int receive(int fd, const struct template_head *expected, int ret_fds[TEMPLATE_FDS])
{
        struct template_head head;
        union {
                struct cmsghdr align;
                char           bytes[CMSG_SPACE(TEMPLATE_FDS * sizeof(int))];
        } control;
        struct iovec iov = {.iov_base = &head, .iov_len = sizeof(head)};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
                           .msg_controllen = sizeof(control.bytes)};
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int fds[TEMPLATE_FDS];
        size_t nr;
        ssize_t n;

        if (poll(&p, 1, ANSWER_MS) <= 0)
                return -ETIMEDOUT;
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
                return -EAGAIN;
        if (n < 0)
                return -errno;
        nr = take_fds(&m, fds);
        if (nr != TEMPLATE_FDS || (size_t)n != sizeof(head) || memcmp(&head, expected, sizeof(head)) != 0) {
                close_all(fds, nr);
                return -EPROTO;
        }
        memcpy(ret_fds, fds, sizeof(fds));
        return 0;
}

int template_ask_for(const char *path, const struct template_head *expected, int ret_fds[TEMPLATE_FDS])
{
        _cleanup_close_ int fd = connect_to(path);

        return fd < 0 ? fd : receive(fd, expected, ret_fds);
}

bool template_is_offered(const char *path)
{
        _cleanup_close_ int fd = connect_to(path);

        return fd != -ENOENT;
}

/* --- answering --- */

static void answer(const struct template_offer *o, int fd)
{
        union {
                struct cmsghdr align;
                char           bytes[CMSG_SPACE(TEMPLATE_FDS * sizeof(int))];
        } control = {.bytes = {0}};
        struct template_head head = o->head;
        struct iovec iov = {.iov_base = &head, .iov_len = sizeof(head)};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
                           .msg_controllen = sizeof(control.bytes)};
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);

        if (!is_same_user(fd))
                return;
        *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                              .cmsg_len = CMSG_LEN(TEMPLATE_FDS * sizeof(int))};
        memcpy(CMSG_DATA(c), o->fds, sizeof(o->fds));
        (void)sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT); /* who is gone again needs none */
}

/* Several processes accept at one socket: another one may have been faster. */
static void *offer(void *arg)
{
        const struct template_offer *o = arg;
        struct pollfd p[] = {{.fd = o->fds[TEMPLATE_LISTEN], .events = POLLIN}, {.fd = o->stop_fd, .events = POLLIN}};

        pthread_setname_np(pthread_self(), "rouse-template");
        while (poll(p, ARRAY_LEN(p), -1) >= 0 || errno == EINTR) {
                _cleanup_close_ int fd = -1;

                if (p[1].revents)
                        break;
                fd = accept4(p[0].fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd >= 0)
                        answer(o, fd);
                else if (errno == EMFILE || errno == ENFILE)
                        usleep(10000); /* it stays readable meanwhile */
        }
        return NULL;
}

int template_begin_offering(struct template_offer *o, const struct template_head *head, const int fds[TEMPLATE_FDS])
{
        int r;

        *o = (struct template_offer){.head = *head, .stop_fd = eventfd(0, EFD_CLOEXEC)};
        memcpy(o->fds, fds, sizeof(o->fds));
        if (o->stop_fd < 0)
                return -errno;
        r = thread_start(&o->thread, offer, o);
        o->running = r == 0;
        if (r < 0)
                close(o->stop_fd);
        return r;
}

void template_stop_offering(struct template_offer *o)
{
        if (!o->running)
                return;
        (void)eventfd_write(o->stop_fd, 1);
        pthread_join(o->thread, NULL);
        close(o->stop_fd);
        o->running = false;
}
