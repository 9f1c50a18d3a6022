/* Every kind of serial port ends as one descriptor that guest_run reads. */
#include "bench/run/peer_serial.h"

#include "bench/run/peer_connect.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/base/unix_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#define AGAIN_NS  NS_PER_MS /* between two looks at what the program has printed */
#define SAID_MAX  16384

/* Bytes as they are: no echo, no lines. */
static void make_raw(int fd)
{
        struct termios t;

        if (tcgetattr(fd, &t) == 0) {
                cfmakeraw(&t);
                tcsetattr(fd, TCSANOW, &t);
        }
}

static int open_pty(struct peer_serial_port *s, struct err *e)
{
        char name[64] = "";

        if (openpty(&s->master_fd, &s->slave_fd, NULL, NULL, NULL) < 0 || ttyname_r(s->slave_fd, name, sizeof(name)) != 0)
                return err_set(e, -errno, "a pty for the serial port: %s", strerror(errno));
        fcntl(s->master_fd, F_SETFD, FD_CLOEXEC);
        fcntl(s->slave_fd, F_SETFD, FD_CLOEXEC);
        fcntl(s->master_fd, F_SETFL, O_NONBLOCK);
        make_raw(s->slave_fd);
        free(s->path);
        s->path = strdup(name);
        return s->path ? 0 : err_set(e, -ENOMEM, "no memory");
}

/* Open for both directions, so that it never ends, whoever comes and goes at its other end. */
static int open_fifo(struct peer_serial_port *s, struct err *e)
{
        if (mkfifo(s->path, 0600) < 0)
                return err_set(e, -errno, "%s: mkfifo: %s", s->path, strerror(errno));
        s->master_fd = open(s->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        return s->master_fd < 0 ? err_set(e, -errno, "%s: %s", s->path, strerror(errno)) : 0;
}

int peer_serial_open(struct peer_serial_port *s, const struct peer *p, const struct peer_vars *vars, struct err *e)
{
        *s = (struct peer_serial_port){.peer = p, .master_fd = -1, .slave_fd = -1, .listen_fd = -1};
        s->path = p->serial_path ? peer_expand_path(vars, p->dir, p->serial_path, e) : strdup("");
        if (!s->path)
                return -EINVAL;
        switch (p->serial) {
        case PEER_SERIAL_PTY:
        case PEER_SERIAL_STDIO_PTY:
                return open_pty(s, e);
        case PEER_SERIAL_FILE:
                return open_fifo(s, e);
        case PEER_SERIAL_LISTEN:
                s->listen_fd = unix_listen(s->path, 1, e);
                return s->listen_fd < 0 ? s->listen_fd : 0;
        default:
                return 0;
        }
}

/* --- the program's side --- */

static int open_named_pty(struct guest_run *g, const char *name, struct err *e)
{
        struct stat st;

        g->serial_fd = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (g->serial_fd < 0)
                return err_set(e, -errno, "the serial port's pty '%s': %s", name, strerror(errno));
        if (fstat(g->serial_fd, &st) < 0 || !isatty(g->serial_fd))
                return err_set(e, -ENOTTY, "the serial port's pty '%s' is no terminal", name);
        make_raw(g->serial_fd);
        return 0;
}

int peer_serial_named(struct guest_run *g, const char *name, struct err *e)
{
        return g->serial_fd >= 0 ? 0 : open_named_pty(g, strncmp(name, "pty:", 4) == 0 ? name + 4 : name, e);
}

/* The first group of pattern in all that the program has said; false: not yet. */
static bool find_printed(const struct guest_run *g, const regex_t *re, char *ret, size_t size)
{
        char said[SAID_MAX];
        ssize_t n = pread(g->stderr_fd, said, sizeof(said) - 1, 0);
        regmatch_t m[2];

        said[n < 0 ? 0 : n] = 0;
        if (regexec(re, said, 2, m, 0) != 0 || m[1].rm_so < 0)
                return false;
        snprintf(ret, size, "%.*s", (int)(m[1].rm_eo - m[1].rm_so), said + m[1].rm_so);
        return true;
}

static int attach_printed(const struct peer *p, struct guest_run *g, struct err *e)
{
        enum guest_event ev = GUEST_LIMIT;
        char name[200];
        regex_t re;
        bool found;

        if (regcomp(&re, p->serial_pattern, REG_EXTENDED) != 0)
                return err_set(e, -EINVAL, "serial: '%s' is no regular expression", p->serial_pattern);
        while (!(found = find_printed(g, &re, name, sizeof(name))) && ev == GUEST_LIMIT)
                ev = guest_run_wait(g, -1, 0, now_ns() + AGAIN_NS);
        regfree(&re);
        return !found ? (int)ev : open_named_pty(g, name, e) < 0 ? e->code : GUEST_OTHER;
}

static int attach_socket(const struct peer_serial_port *s, struct guest_run *g, struct err *e)
{
        int fd = -1, r = peer_connect(g, s->path, &fd, e);

        if (fd >= 0)
                g->serial_fd = fd;
        return r;
}

static int attach_listener(struct peer_serial_port *s, struct guest_run *g, struct err *e)
{
        enum guest_event ev = guest_run_wait(g, s->listen_fd, POLLIN, 0);

        if (ev != GUEST_OTHER)
                return (int)ev;
        g->serial_fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        return g->serial_fd < 0 ? err_set(e, -errno, "%s: accept: %s", s->path, strerror(errno)) : GUEST_OTHER;
}

int peer_serial_attach(struct peer_serial_port *s, struct guest_run *g, struct err *e)
{
        switch (s->peer->serial) {
        case PEER_SERIAL_PRINTED_PTY:
                return attach_printed(s->peer, g, e);
        case PEER_SERIAL_CONNECT:
                return attach_socket(s, g, e);
        case PEER_SERIAL_LISTEN:
                return attach_listener(s, g, e);
        case PEER_SERIAL_PTY:
        case PEER_SERIAL_STDIO_PTY:
        case PEER_SERIAL_FILE:
                g->serial_fd = TAKE_FD(s->master_fd);
                return GUEST_OTHER;
        default:
                return GUEST_OTHER; /* standard output is there already; an answer will name the pty */
        }
}

void peer_serial_free(struct peer_serial_port *s)
{
        if (s->listen_fd >= 0 || (s->peer && s->peer->serial == PEER_SERIAL_FILE && s->path))
                unlink(s->path);
        cleanup_close(&s->master_fd);
        cleanup_close(&s->slave_fd);
        cleanup_close(&s->listen_fd);
        free(s->path);
        *s = (struct peer_serial_port){.master_fd = -1, .slave_fd = -1, .listen_fd = -1};
}
