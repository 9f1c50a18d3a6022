/* Lines of a socket, each waited for with a limit. */
#include "tests/support/qmp.h"

#include "core/base/clock.h"
#include "core/base/units.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void qmp_connect(struct qmp *q, const char *path)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        uint64_t until_ns = now_ns() + QMP_PATIENCE_MS * NS_PER_MS;

        cr_assert_lt(strlen(path), sizeof(a.sun_path), "%s is too long for a socket", path);
        snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
        q->len = 0;
        q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert(q->fd >= 0);
        while (connect(q->fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
                cr_assert(now_ns() < until_ns, "connect to %s: %s", path, strerror(errno));
                usleep(200);
        }
}

void qmp_open(struct qmp *q, const char *path)
{
        qmp_connect(q, path);
        cr_assert(strncmp(qmp_line(q), "{\"QMP\":{\"version\":{\"qemu\":", 26) == 0, "%s", q->line);
}

void qmp_close(struct qmp *q)
{
        close(q->fd);
        q->fd = -1;
}

void qmp_send_bytes(const struct qmp *q, const void *bytes, size_t len)
{
        cr_assert_eq(send(q->fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len, "send: %s", strerror(errno));
}

void qmp_send(const struct qmp *q, const char *text)
{
        qmp_send_bytes(q, text, strlen(text));
}

/* 1: a line is in buf; 0: the limit passed; -1: the other side hung up. */
static int wait_line(struct qmp *q, int timeout_ms)
{
        uint64_t until_ns = now_ns() + (uint64_t)timeout_ms * NS_PER_MS;

        while (!memchr(q->buf, '\n', q->len)) {
                struct pollfd p = {.fd = q->fd, .events = POLLIN};
                uint64_t now = now_ns();
                ssize_t n;

                if (poll(&p, 1, now < until_ns ? (int)((until_ns - now) / NS_PER_MS) + 1 : 0) <= 0)
                        return 0;
                cr_assert_lt(q->len, sizeof(q->buf));
                n = recv(q->fd, q->buf + q->len, sizeof(q->buf) - q->len, 0);
                if (n <= 0)
                        return -1;
                q->len += (size_t)n;
        }
        return 1;
}

bool qmp_has_line(struct qmp *q, int timeout_ms)
{
        return wait_line(q, timeout_ms) > 0;
}

bool qmp_is_over(struct qmp *q)
{
        return wait_line(q, QMP_PATIENCE_MS) < 0;
}

const char *qmp_line(struct qmp *q)
{
        int r = wait_line(q, QMP_PATIENCE_MS);
        const char *nl = memchr(q->buf, '\n', q->len);
        size_t len;

        cr_assert_eq(r, 1, "no line: %s", r ? "the VM hung up" : "none came in time");
        len = (size_t)(nl - q->buf);
        cr_assert(len > 0 && q->buf[len - 1] == '\r', "a line that does not end in CR LF");
        snprintf(q->line, sizeof(q->line), "%.*s", (int)len - 1, q->buf);
        q->len -= len + 1;
        memmove(q->buf, nl + 1, q->len);
        return q->line;
}

void qmp_expect(struct qmp *q, const char *request, const char *reply)
{
        qmp_send(q, request);
        cr_assert_str_eq(qmp_line(q), reply, "%s: %s", request, q->line);
}

void qmp_expect_event(struct qmp *q, const char *name, const char *holds)
{
        char begin[300];

        snprintf(begin, sizeof(begin), "{\"event\":\"%s\",\"data\":{%s},\"timestamp\":{\"seconds\":", name, holds);
        cr_assert(strncmp(qmp_line(q), begin, strlen(begin)) == 0 &&
                  strstr(q->line, ",\"microseconds\":"), "expected %s: %s", begin, q->line);
}
