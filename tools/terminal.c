/* What is typed goes to the guest's serial port. */
#include "tools/terminal.h"

#include "tools/serial_input.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define ESCAPE 0x01 /* Ctrl-A, as screen(1) and QEMU have it */

struct terminal {
        struct session      *session;
        struct serial_input *input;
        struct termios       before;
        bool                 escaped;
};

/* Ctrl-A x leaves, Ctrl-A Ctrl-A is one Ctrl-A, anything else after Ctrl-A is dropped. */
static bool is_for_guest(struct terminal *t, uint8_t byte)
{
        bool escaped = t->escaped;

        t->escaped = !escaped && byte == ESCAPE;
        if (escaped && byte == 'x')
                session_quit(t->session);
        return escaped ? byte == ESCAPE : byte != ESCAPE;
}

static void typed(void *arg, int fd, short revents)
{
        struct terminal *t = arg;
        uint8_t bytes[256];
        ssize_t n = read(fd, bytes, sizeof(bytes));
        size_t len = 0;
        (void)revents;

        if (n <= 0) {
                session_unwatch(t->session, fd); /* the terminal is gone; the VM goes on without a keyboard */
                return;
        }
        for (ssize_t i = 0; i < n; i++)
                if (is_for_guest(t, bytes[i]))
                        bytes[len++] = bytes[i];
        serial_input_put(t->input, bytes, len);
}

int terminal_new(struct session *s, struct terminal **ret, struct err *e)
{
        struct terminal *t;
        struct termios raw;
        int r;

        *ret = NULL;
        /* In the background the terminal belongs to somebody else, and touching it would stop this process (SIGTTOU). */
        if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp())
                return 0;
        t = calloc(1, sizeof(*t));
        if (!t)
                return err_set(e, -ENOMEM, "no memory for the terminal");
        t->session = s;
        r = tcgetattr(STDIN_FILENO, &t->before) < 0 ? err_set(e, -errno, "terminal on standard input: %s", strerror(errno))
                                                    : serial_input_new(s, NULL, NULL, &t->input, e);
        if (r < 0) {
                free(t);
                return r;
        }
        raw = t->before;
        raw.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IGNCR | IXON | ISTRIP | BRKINT);
        raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        session_watch(s, STDIN_FILENO, POLLIN, typed, t);
        *ret = t;
        return 0;
}

void terminal_free(struct terminal *t)
{
        if (!t)
                return;
        session_unwatch(t->session, STDIN_FILENO);
        serial_input_free(t->input);
        tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
        free(t);
}
