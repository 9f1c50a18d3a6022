/* The line of a terminal that says how far a bench is. */
#include "bench/run/progress.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PATIENCE_MS 30000

static size_t count(const char *text, const char *what)
{
        size_t nr = 0;

        for (; (text = strstr(text, what)); text += strlen(what))
                nr++;
        return nr;
}

/* A terminal hands on what was written when it comes to it. */
static void read_steps(int fd, size_t steps, char *ret, size_t size)
{
        struct pollfd f = {.fd = fd, .events = POLLIN};
        size_t len = 0;

        ret[0] = 0;
        while (count(ret, "\r\033[K") < steps || count(ret, " left") < steps - 1) {
                ssize_t n = poll(&f, 1, PATIENCE_MS) == 1 ? read(fd, ret + len, size - 1 - len) : -1;

                cr_assert_gt(n, 0, "of %zu steps only: '%s'", steps, ret);
                len += (size_t)n;
                ret[len] = 0;
        }
}

/* What `after` of `all` steps leave on a terminal of so many columns; columns 0: on a pipe. */
static void show(unsigned short columns, size_t all, size_t after, char *ret, size_t size)
{
        struct winsize w = {.ws_row = 24, .ws_col = columns};
        int fds[2], kept = dup(STDERR_FILENO);
        struct progress p;

        if (columns) {
                fds[0] = posix_openpt(O_RDWR | O_NOCTTY);
                cr_assert(fds[0] >= 0 && grantpt(fds[0]) == 0 && unlockpt(fds[0]) == 0);
                fds[1] = open(ptsname(fds[0]), O_RDWR | O_NOCTTY);
                cr_assert(fds[1] >= 0 && ioctl(fds[1], TIOCSWINSZ, &w) == 0);
        } else {
                cr_assert_eq(pipe(fds), 0);
        }
        fcntl(fds[0], F_SETFL, O_NONBLOCK);
        fflush(stderr);
        dup2(fds[1], STDERR_FILENO);
        progress_begin(&p, all);
        for (size_t i = 0; i < after; i++)
                progress_next(&p, "round 12, a peer whose name goes on and on and on and on");
        fflush(stderr);
        dup2(kept, STDERR_FILENO);
        if (columns) {
                read_steps(fds[0], after, ret, size);
        } else {
                ssize_t n = read(fds[0], ret, size - 1);

                ret[n < 0 ? 0 : n] = 0;
        }
        close(fds[0]);
        close(fds[1]);
        close(kept);
}

Test(progress, a_line_never_reaches_the_edge_of_the_terminal_and_has_the_time_left)
{
        static const unsigned short columns[] = {50, 60, 80, 200};

        for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++) {
                char text[4096], *line = text;

                show(columns[i], 1680, 3, text, sizeof(text));
                while (strstr(line, "\r\033[K")) /* the last one */
                        line = strstr(line, "\r\033[K") + strlen("\r\033[K");
                cr_expect_lt(strlen(line), columns[i], "%u columns: '%s'", columns[i], line);
                cr_expect(strncmp(line, "[........................] 2 of 1680  ", 38) == 0 && strstr(line, " left"), "'%s'", line);
        }
}

Test(progress, nothing_is_said_where_there_is_no_terminal)
{
        char text[4096];

        show(0, 10, 5, text, sizeof(text));
        cr_expect_str_empty(text);
}
