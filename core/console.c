/* A vCPU must not wait in write(2) for a terminal that nobody reads: bytes go through a buffer that a thread of its own
 * empties. */
#include "core/console.h"

#include "core/base/clock.h"
#include "core/base/thread.h"
#include "core/base/units.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUFFER_BYTES  (64 * KIB) /* a pipe's own size: past it a vCPU waits */
#define DROP_BYTES    (BUFFER_BYTES / 4) /* a lossy one makes room in steps, so that it does not move its bytes for each */
#define LINE_MAX_LEN  4096       /* patterns see this much of a line */
#define GATHER_MS     2          /* how long a lone byte waits for company before it is written */
#define GATHER_BYTES  512

struct pattern {
        bool    set, matched;
        regex_t re;
};

struct console {
        /* set before start, then read-only */
        struct console_config cfg;
        int                   give_up_fd; /* eventfd: the writer gives up what it has */
        pthread_t             writer;
        bool                  started;
        /* only console_put */
        struct pattern until, mark;
        bool           spoke;
        char           line[LINE_MAX_LEN + 1];
        size_t         line_len;
        /* under lock */
        pthread_mutex_t lock;
        pthread_cond_t  more, less;
        uint8_t        *buf;
        size_t          len, cap;
        int             out_fd; /* -1: bytes wait for a reader */
        uint64_t        dropped;
        bool            writing, flush, open, quit;
};

static int compile(struct pattern *p, const char *text, struct err *e)
{
        char why[200];
        int r;

        if (!text)
                return 0;
        r = regcomp(&p->re, text, REG_EXTENDED | REG_NOSUB);
        if (r) {
                regerror(r, NULL, why, sizeof(why));
                return err_usage(e, "pattern '%s': %s", text, why);
        }
        p->set = true;
        return 0;
}

/* Writes len bytes, or gives up when give_up_fd says so or the reader is gone. Returns how many were not written. */
static size_t write_out(struct console *c, int fd, const uint8_t *p, size_t len)
{
        while (len > 0) {
                struct pollfd fds[2] = {{.fd = fd, .events = POLLOUT}, {.fd = c->give_up_fd, .events = POLLIN}};
                ssize_t n;

                if (poll(fds, 2, -1) < 0 && errno != EINTR)
                        return len;
                if (fds[0].revents & (POLLERR | POLLHUP | POLLNVAL))
                        return len; /* the reader is gone: the VM goes on without one */
                if (!(fds[0].revents & POLLOUT)) {
                        if (fds[1].revents)
                                return len; /* nobody wants the rest */
                        continue;
                }
                n = write(fd, p, MIN(len, (size_t)GATHER_BYTES)); /* <= PIPE_BUF: does not block after POLLOUT */
                if (n < 0 && errno != EINTR && errno != EAGAIN)
                        return len;
                if (n > 0) {
                        p += n;
                        len -= (size_t)n;
                }
        }
        return 0;
}

static void gather(struct console *c)
{
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += GATHER_MS * (long)NS_PER_MS;
        until.tv_sec += until.tv_nsec / (long)NS_PER_S;
        until.tv_nsec %= (long)NS_PER_S;
        while (!c->flush && !c->quit && c->len < GATHER_BYTES)
                if (pthread_cond_timedwait(&c->more, &c->lock, &until) == ETIMEDOUT)
                        return;
}

static void *writer(void *arg)
{
        struct console *c = arg;
        uint8_t mine[BUFFER_BYTES]; /* on the stack: a writer that had no memory would stop the guest for good */

        pthread_mutex_lock(&c->lock);
        for (;;) {
                size_t n;
                int fd;

                while ((c->len == 0 || c->out_fd < 0) && !c->quit)
                        pthread_cond_wait(&c->more, &c->lock);
                if (c->len == 0)
                        break;
                gather(c);
                fd = c->out_fd;
                if (fd < 0)
                        continue; /* it left while bytes were gathered */
                n = MIN(c->len, (size_t)BUFFER_BYTES);
                memcpy(mine, c->buf, n);
                memmove(c->buf, c->buf + n, c->len - n);
                c->len -= n;
                c->flush = false;
                c->writing = true;
                pthread_cond_broadcast(&c->less);
                pthread_mutex_unlock(&c->lock);
                n = write_out(c, fd, mine, n);
                pthread_mutex_lock(&c->lock);
                c->dropped += n;
                if (n > 0 && c->cfg.lossy && c->out_fd == fd)
                        c->out_fd = -1; /* the next one gets what comes from here on */
                c->writing = false;
                pthread_cond_broadcast(&c->less);
        }
        pthread_mutex_unlock(&c->lock);
        return NULL;
}

static int start_writer(struct console *c, struct err *e)
{
        int r;

        if (c->cfg.out_fd < 0 && !c->cfg.lossy)
                return 0;
        c->give_up_fd = eventfd(0, EFD_CLOEXEC);
        if (c->give_up_fd < 0)
                return err_set(e, -errno, "eventfd for the serial output: %s", strerror(errno));
        r = thread_start(&c->writer, writer, c);
        if (r < 0)
                return err_set(e, r, "thread for the serial output: %s", strerror(-r));
        c->started = true;
        return 0;
}

int console_new(const struct console_config *cfg, struct console **ret, struct err *e)
{
        struct console *c = calloc(1, sizeof(*c));
        pthread_condattr_t monotonic;
        int r;

        if (!c)
                return err_set(e, -ENOMEM, "no memory for the serial output");
        c->cfg = *cfg;
        c->out_fd = cfg->out_fd;
        c->give_up_fd = -1;
        pthread_mutex_init(&c->lock, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&c->more, &monotonic);
        pthread_cond_init(&c->less, &monotonic);
        pthread_condattr_destroy(&monotonic);
        c->cap = BUFFER_BYTES;
        c->buf = malloc(c->cap);
        r = c->buf ? 0 : err_set(e, -ENOMEM, "no memory for the serial output");
        if (r >= 0)
                r = compile(&c->until, cfg->until, e);
        if (r >= 0)
                r = compile(&c->mark, cfg->mark, e);
        if (r >= 0)
                r = start_writer(c, e);
        if (r < 0) {
                console_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

static void try_pattern(struct console *c, struct pattern *p, bool until, uint64_t ns)
{
        if (!p->set || p->matched || regexec(&p->re, c->line, 0, NULL, 0) != 0)
                return;
        p->matched = true;
        c->cfg.matched(c->cfg.arg, until, ns);
}

static void end_line(struct console *c, uint64_t ns)
{
        c->line[c->line_len] = 0;
        c->line_len = 0;
        try_pattern(c, &c->mark, false, ns);
        try_pattern(c, &c->until, true, ns);
}

static void append(struct console *c, uint8_t byte)
{
        if (c->len == c->cap) { /* only while held open: one byte a vCPU, so this stays small */
                uint8_t *more = realloc(c->buf, c->cap * 2);

                if (!more)
                        return;
                c->buf = more;
                c->cap *= 2;
        }
        c->buf[c->len++] = byte;
}

static void drop_oldest(struct console *c)
{
        memmove(c->buf, c->buf + DROP_BYTES, c->len - DROP_BYTES);
        c->len -= DROP_BYTES;
        c->dropped += DROP_BYTES;
}

/* The first byte is what somebody waits for, and the writer may have to wait some ms for a CPU that a vCPU and the pager keep
 * busy. One byte where there is room for one does not block. False: it is the writer's. */
static bool write_at_once(struct console *c, uint8_t byte)
{
        struct pollfd out = {.events = POLLOUT};
        bool written;

        pthread_mutex_lock(&c->lock);
        out.fd = c->out_fd;
        written = c->out_fd >= 0 && c->len == 0 && !c->writing && poll(&out, 1, 0) == 1 && out.revents == POLLOUT && write(c->out_fd, &byte, 1) == 1;
        pthread_mutex_unlock(&c->lock);
        return written;
}

static void enqueue(struct console *c, uint8_t byte, bool now)
{
        pthread_mutex_lock(&c->lock);
        if (c->cfg.lossy && c->len >= BUFFER_BYTES)
                drop_oldest(c);
        while (c->len >= BUFFER_BYTES && !c->open)
                pthread_cond_wait(&c->less, &c->lock);
        append(c, byte);
        c->flush |= now;
        /* One wake-up when a line begins and one when it ends, not one a byte. */
        if (c->len == 1 || now || c->len == GATHER_BYTES)
                pthread_cond_signal(&c->more);
        pthread_mutex_unlock(&c->lock);
}

void console_put(struct console *c, uint8_t byte)
{
        bool first = !c->spoke;
        uint64_t ns = first ? now_ns() : 0;

        if (first) {
                c->spoke = true;
                c->cfg.first_byte(c->cfg.arg, ns);
        }
        if (c->started && !(first && write_at_once(c, byte)))
                enqueue(c, byte, first || byte == '\n');
        if (first)
                c->cfg.first_is_out(c->cfg.arg, ns);
        if (!c->until.set && !c->mark.set)
                return;
        if (byte == '\n')
                end_line(c, now_ns());
        else if (byte != '\r' && byte != 0 && c->line_len < LINE_MAX_LEN)
                c->line[c->line_len++] = (char)byte;
}

uint64_t console_connect(struct console *c, int out_fd)
{
        uint64_t one = 1, dropped;

        pthread_mutex_lock(&c->lock);
        c->out_fd = -1;
        if (c->writing && write(c->give_up_fd, &one, sizeof(one)) == sizeof(one)) {
                while (c->writing)
                        pthread_cond_wait(&c->less, &c->lock);
                while (read(c->give_up_fd, &one, sizeof(one)) < 0 && errno == EINTR)
                        ;
        }
        c->out_fd = out_fd;
        dropped = c->dropped;
        c->dropped = 0;
        pthread_cond_signal(&c->more);
        pthread_mutex_unlock(&c->lock);
        return dropped;
}

void console_hold_open(struct console *c, bool open)
{
        pthread_mutex_lock(&c->lock);
        c->open = open;
        pthread_cond_broadcast(&c->less);
        pthread_mutex_unlock(&c->lock);
}

void console_flush(struct console *c, int timeout_ms)
{
        struct timespec until;

        if (!c->started)
                return;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += timeout_ms / 1000;
        until.tv_nsec += (long)(timeout_ms % 1000) * (long)NS_PER_MS;
        until.tv_sec += until.tv_nsec / (long)NS_PER_S;
        until.tv_nsec %= (long)NS_PER_S;
        pthread_mutex_lock(&c->lock);
        c->flush = true;
        pthread_cond_signal(&c->more);
        while ((c->len > 0 && c->out_fd >= 0) || c->writing)
                if (pthread_cond_timedwait(&c->less, &c->lock, &until) == ETIMEDOUT)
                        break;
        pthread_mutex_unlock(&c->lock);
}

static void stop_writer(struct console *c)
{
        uint64_t one = 1;

        pthread_mutex_lock(&c->lock);
        c->quit = true;
        c->len = 0;
        pthread_cond_broadcast(&c->more);
        pthread_mutex_unlock(&c->lock);
        if (write(c->give_up_fd, &one, sizeof(one)) == sizeof(one))
                pthread_join(c->writer, NULL);
}

void console_free(struct console *c)
{
        if (!c)
                return;
        if (c->started)
                stop_writer(c);
        if (c->give_up_fd >= 0)
                close(c->give_up_fd);
        if (c->until.set)
                regfree(&c->until.re);
        if (c->mark.set)
                regfree(&c->mark.re);
        pthread_cond_destroy(&c->more);
        pthread_cond_destroy(&c->less);
        pthread_mutex_destroy(&c->lock);
        free(c->buf);
        free(c);
}
