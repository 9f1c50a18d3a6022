/* What is typed goes to the guest's serial port; what it does not take yet waits here. */
#include "tools/terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#define ESCAPE     0x01 /* Ctrl-A, as screen(1) and QEMU have it */
#define RETRY_MS   5    /* how often a full receiver is offered the rest; a typist does not notice */

struct terminal {
        struct session *session;
        struct termios  before;
        bool            escaped;
        int             timer_fd;
        size_t          len;
        uint8_t         waiting[4096];
};

static void arm_retry(const struct terminal *t)
{
        struct itimerspec once = {.it_value = {.tv_nsec = RETRY_MS * 1000000L}};

        timerfd_settime(t->timer_fd, 0, &once, NULL);
}

static void offer(struct terminal *t)
{
        size_t taken = session_serial_in(t->session, t->waiting, t->len);

        memmove(t->waiting, t->waiting + taken, t->len - taken);
        t->len -= taken;
        if (t->len > 0)
                arm_retry(t);
}

/* Ctrl-A x leaves, Ctrl-A Ctrl-A is one Ctrl-A, anything else after Ctrl-A is dropped. */
static void take_byte(struct terminal *t, uint8_t byte)
{
        if (!t->escaped && byte == ESCAPE) {
                t->escaped = true;
                return;
        }
        if (t->escaped && byte == 'x')
                session_quit(t->session);
        if ((!t->escaped || byte == ESCAPE) && t->len < sizeof(t->waiting))
                t->waiting[t->len++] = byte;
        t->escaped = false;
}

static void typed(void *arg, int fd, short revents)
{
        struct terminal *t = arg;
        uint8_t bytes[256];
        ssize_t n = read(fd, bytes, sizeof(bytes));
        (void)revents;

        if (n <= 0) {
                session_unwatch(t->session, fd); /* the terminal is gone; the VM goes on without a keyboard */
                return;
        }
        for (ssize_t i = 0; i < n; i++)
                take_byte(t, bytes[i]);
        offer(t);
}

static void retry(void *arg, int fd, short revents)
{
        uint64_t n;
        (void)revents;

        if (read(fd, &n, sizeof(n)) == sizeof(n))
                offer(arg);
}

int terminal_new(struct session *s, struct terminal **ret, struct err *e)
{
        struct terminal *t;
        struct termios raw;

        *ret = NULL;
        /* In the background the terminal belongs to somebody else, and touching it would stop this process (SIGTTOU). */
        if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp())
                return 0;
        t = calloc(1, sizeof(*t));
        if (!t)
                return err_set(e, -ENOMEM, "no memory for the terminal");
        t->session = s;
        t->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (t->timer_fd < 0 || tcgetattr(STDIN_FILENO, &t->before) < 0) {
                int r = err_set(e, -errno, "terminal on standard input: %s", strerror(errno));

                if (t->timer_fd >= 0)
                        close(t->timer_fd);
                free(t);
                return r;
        }
        raw = t->before;
        raw.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IGNCR | IXON | ISTRIP | BRKINT);
        raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        session_watch(s, STDIN_FILENO, POLLIN, typed, t);
        session_watch(s, t->timer_fd, POLLIN, retry, t);
        *ret = t;
        return 0;
}

void terminal_free(struct terminal *t)
{
        if (!t)
                return;
        session_unwatch(t->session, STDIN_FILENO);
        session_unwatch(t->session, t->timer_fd);
        tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
        close(t->timer_fd);
        free(t);
}
