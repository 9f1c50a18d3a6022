/* The socket tells whose it is; a pidfd tells when he is gone, and never means another process. */
#include "core/control/peer.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/control/client.h"
#include "core/control/socket_path.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#define REPLY_MAX (64 * KIB)

struct peer {
        int   fd, pid_fd;
        pid_t pid;
        char *name;
};

/* SO_PEERCRED names whoever called listen(2). He had the socket open after the pidfd was made if it does not say by then that he
 * hung up. */
static int find_process(struct peer *p, struct err *e)
{
        struct pollfd hung_up = {.fd = p->fd, .events = POLLRDHUP};
        struct ucred cred;
        socklen_t len = sizeof(cred);

        if (getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
                return err_set(e, -errno, "whose socket '%s' is: %s", p->name, strerror(errno));
        p->pid = cred.pid;
        p->pid_fd = (int)syscall(SYS_pidfd_open, cred.pid, 0);
        if (p->pid_fd < 0 && errno != ESRCH)
                return err_set(e, -errno, "pidfd_open %d: %s", (int)cred.pid, strerror(errno));
        if (p->pid_fd < 0 || (poll(&hung_up, 1, 0) > 0 && hung_up.revents & (POLLHUP | POLLRDHUP)))
                return err_set(e, -ENOENT, "no VM named '%s' is running: it has just ended", p->name);
        return 0;
}

int peer_connect(const char *runtime_dir, const char *name, struct peer **ret, struct err *e)
{
        struct sockaddr_un a;
        struct peer *p;
        char whom[80];
        int r = control_address(runtime_dir, name, &a, e);

        if (r < 0)
                return r;
        p = calloc(1, sizeof(*p));
        if (p)
                p->name = strdup(name);
        if (!p || !p->name) {
                free(p);
                return err_set(e, -ENOMEM, "no memory for a connection");
        }
        snprintf(whom, sizeof(whom), "named '%s'", name);
        p->pid_fd = -1;
        p->fd = r = control_connect(&a, whom, e);
        if (r >= 0)
                r = find_process(p, e);
        if (r < 0) {
                peer_free(p);
                return r;
        }
        *ret = p;
        return 0;
}

void peer_free(struct peer *p)
{
        if (!p)
                return;
        if (p->fd >= 0)
                close(p->fd);
        if (p->pid_fd >= 0)
                close(p->pid_fd);
        free(p->name);
        free(p);
}

pid_t peer_pid(const struct peer *p)
{
        return p->pid;
}

/* Until fd can be read (which an end can, too): 0, -ETIMEDOUT. */
static int wait_readable(int fd, uint64_t until_ns)
{
        struct pollfd f = {.fd = fd, .events = POLLIN};

        for (;;) {
                uint64_t now = now_ns();
                int timeout_ms = !until_ns ? -1 : now >= until_ns ? 0
                                 : (int)MIN((until_ns - now) / NS_PER_MS + 1, (uint64_t)INT_MAX);
                int n = poll(&f, 1, timeout_ms);

                if (n > 0)
                        return 0;
                if (n == 0 && now >= until_ns)
                        return -ETIMEDOUT;
                if (n < 0 && errno != EINTR)
                        return -errno;
        }
}

/* One line, into buf of REPLY_MAX bytes. */
static int read_line(const struct peer *p, uint64_t until_ns, char *buf, struct err *e)
{
        size_t len = 0;

        do {
                int r = wait_readable(p->fd, until_ns);
                ssize_t n = r < 0 ? 0 : recv(p->fd, buf + len, REPLY_MAX - 1 - len, 0);

                if (r < 0)
                        return err_set(e, r, "the VM '%s' did not answer in time", p->name);
                if (n <= 0)
                        return err_set(e, -ECONNRESET, "the VM '%s' ended before it answered", p->name);
                len += (size_t)n;
        } while (len < REPLY_MAX - 1 && buf[len - 1] != '\n');
        buf[len] = 0;
        return 0;
}

static int take_line(const char *line, struct json_object **ret, struct err *e)
{
        struct json_object *reply = json_tokener_parse(line);
        int r = reply ? control_take_reply(reply, ret, e) : err_set(e, -EPROTO, "the VM's answer is no JSON");

        json_object_put(reply);
        return r;
}

int peer_ask(struct peer *p, struct json_object *request, uint64_t until_ns, struct json_object **ret_reply, struct err *e)
{
        _cleanup_free_ char *line = malloc(REPLY_MAX);
        int r = line ? control_send(p->fd, request, e) : err_set(e, -ENOMEM, "no memory for an answer");

        if (r >= 0)
                r = read_line(p, until_ns, line, e);
        return r < 0 ? r : take_line(line, ret_reply, e);
}

int peer_wait_end(struct peer *p, uint64_t until_ns, struct err *e)
{
        int r = wait_readable(p->pid_fd, until_ns);

        return r < 0 ? err_set(e, r, "the VM '%s' (process %d) has not ended in time", p->name, (int)p->pid) : 0;
}

int peer_kill(struct peer *p, struct err *e)
{
        if (syscall(SYS_pidfd_send_signal, p->pid_fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
                return err_set(e, -errno, "kill process %d of '%s': %s", (int)p->pid, p->name, strerror(errno));
        return 0;
}
