/* Two pipes, poll, and a time limit: nothing that a test starts can hang it. */
#include "tests/support/child.h"

#include "core/base/clock.h"
#include "core/base/units.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

const char *rouse_program(void)
{
        const char *p = getenv("ROUSE");

        return p ? p : "build/rouse";
}

static void become(const char *const *argv, int out, int err)
{
        int null = open("/dev/null", O_RDONLY);

        setenv("XDG_STATE_HOME", "/tmp/rouse-test-state", 0); /* never the user's machines */
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no VM behind */
        dup2(null, 0);
        dup2(out, 1);
        dup2(err, 2);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
}

struct child child_start(const char *const *argv)
{
        struct child c = {.out = calloc(1, 1), .err = calloc(1, 1)};
        int out[2], err[2];

        cr_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0, "pipe: %s", strerror(errno));
        c.pid = fork();
        cr_assert(c.pid >= 0, "fork: %s", strerror(errno));
        if (c.pid == 0)
                become(argv, out[1], err[1]);
        close(out[1]);
        close(err[1]);
        c.out_fd = out[0];
        c.err_fd = err[0];
        return c;
}

static void take(int *fd, char **buf, size_t *len)
{
        char bytes[65536];
        ssize_t n = read(*fd, bytes, sizeof(bytes));

        if (n <= 0) {
                close(*fd);
                *fd = -1;
                return;
        }
        *buf = realloc(*buf, *len + (size_t)n + 1);
        cr_assert(*buf);
        memcpy(*buf + *len, bytes, (size_t)n);
        *len += (size_t)n;
        (*buf)[*len] = 0;
}

/* Reads what there is, at most until the limit. False: both streams have ended or the limit has passed. */
static bool pump(struct child *c, uint64_t until_ns)
{
        struct pollfd p[2] = {{.fd = c->out_fd, .events = POLLIN}, {.fd = c->err_fd, .events = POLLIN}};
        uint64_t now = now_ns();

        if ((c->out_fd < 0 && c->err_fd < 0) || now >= until_ns)
                return false;
        poll(p, 2, (int)((until_ns - now) / NS_PER_MS) + 1);
        if (p[0].revents)
                take(&c->out_fd, &c->out, &c->out_len);
        if (p[1].revents)
                take(&c->err_fd, &c->err, &c->err_len);
        return true;
}

static void reap(struct child *c, uint64_t until_ns)
{
        int st = 0;
        pid_t r;

        while ((r = waitpid(c->pid, &st, WNOHANG)) == 0 && now_ns() < until_ns)
                usleep(1000);
        if (r == 0) {
                kill(c->pid, SIGKILL);
                waitpid(c->pid, &st, 0);
                cr_expect(false, "the program did not end in time; it said:\n%s%s", c->out, c->err);
        }
        c->pid = 0;
        c->status = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

int child_wait(struct child *c, int timeout_ms)
{
        uint64_t until_ns = now_ns() + (uint64_t)timeout_ms * NS_PER_MS;

        while (pump(c, until_ns))
                ;
        if (c->pid)
                reap(c, until_ns);
        return c->status;
}

bool child_wait_output(struct child *c, const char *text, int timeout_ms)
{
        uint64_t until_ns = now_ns() + (uint64_t)timeout_ms * NS_PER_MS;

        while (!strstr(c->out, text))
                if (!pump(c, until_ns))
                        return strstr(c->out, text) != NULL;
        return true;
}

void child_kill(struct child *c, int signal)
{
        if (c->pid)
                kill(c->pid, signal);
}

void child_free(struct child *c)
{
        int st;

        if (c->pid) {
                kill(c->pid, SIGKILL);
                waitpid(c->pid, &st, 0);
        }
        if (c->out_fd >= 0)
                close(c->out_fd);
        if (c->err_fd >= 0)
                close(c->err_fd);
        free(c->out);
        free(c->err);
        *c = (struct child){.out_fd = -1, .err_fd = -1};
}

struct child child_run(int timeout_ms, const char *const *argv)
{
        struct child c = child_start(argv);

        child_wait(&c, timeout_ms);
        return c;
}
