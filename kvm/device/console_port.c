/* Port 0: what the guest writes goes to a socket's client or into a file, what the client says to the guest. Nobody here waits:
 * what the client does not take stays in one buffer, and while that is not empty the guest's queue is left alone. */
#include "kvm/device/console_internal.h"

#include "core/base/unix_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_BYTES      4096u     /* read from the client at once */
#define OUT_MAX_BYTES (1 * MIB) /* of one of the guest's buffers: Linux sends 32 KiB at most */

/* --- opening and closing; session thread --- */

static int open_socket(struct console_backend *b, struct err *e)
{
        int r = unix_listen(b->path, 8, e);

        if (r < 0)
                return err_wrap(e, r, "console");
        b->listen_fd = r;
        return 0;
}

static int open_file(struct console_backend *b, struct err *e)
{
        b->fd = open(b->path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
        return b->fd < 0 ? err_set(e, -errno, "console file %s: %s", b->path, strerror(errno)) : 0;
}

int console_port_open(struct console *c, const struct device_config *cfg, struct err *e)
{
        struct console_backend *b = &c->back;

        b->path = cfg->path;
        if (!b->path)
                return 0;
        return cfg->listen ? open_socket(b, e) : open_file(b, e);
}

void console_port_close(struct console *c)
{
        struct console_backend *b = &c->back;

        if (b->listen_fd >= 0) {
                close(b->listen_fd);
                unlink(b->path);
        }
        if (b->fd >= 0)
                close(b->fd);
        free(b->out);
}

/* A file takes everything, and so does nowhere. */
bool console_port_connected(const struct console *c)
{
        return c->back.listen_fd < 0 || c->back.fd >= 0;
}

/* --- what to wait for --- */

static bool is_file(const struct console_backend *b)
{
        return b->listen_fd < 0;
}

static bool has_output(const struct console_backend *b)
{
        return b->out_done < b->out_len;
}

/* Input waits on its side until somebody in the guest has the port open and has room. */
static bool wants_input(const struct console *c)
{
        if (is_file(&c->back) || c->back.eof || c->in_starved || !virtq_started(c->d.queues[CONSOLE_IN]))
                return false;
        return !console_has_ports(c) || c->ports[0].guest_connected;
}

static void unwatch_fd(struct console *c)
{
        if (c->back.watched)
                virtio_unwatch(&c->d, c->back.fd);
        c->back.watched = false;
}

static void stop_listening(struct console *c)
{
        if (c->back.listening)
                virtio_unwatch(&c->d, c->back.listen_fd);
        c->back.listening = false;
}

/* A client's leaving is heard also where nothing else is wanted; a file is watched only while it is full (a pipe). */
static void watch_fd(struct console *c)
{
        struct console_backend *b = &c->back;
        uint32_t events = (wants_input(c) ? EPOLLIN : 0) | (has_output(b) ? EPOLLOUT : 0);

        if (b->left || (events == 0 && is_file(b))) {
                unwatch_fd(c);
                return;
        }
        if (b->watched && events == b->events)
                return;
        b->watched = virtio_watch(&c->d, b->fd, events) >= 0; /* else tried again when the guest rings */
        b->events = events;
}

void console_port_watch(struct console *c)
{
        struct console_backend *b = &c->back;

        if (b->fd >= 0)
                watch_fd(c);
        else if (b->listen_fd >= 0 && !b->listening && !b->deaf)
                b->listening = virtio_watch(&c->d, b->listen_fd, EPOLLIN) >= 0;
}

void console_port_unwatch(struct console *c)
{
        unwatch_fd(c);
        stop_listening(c);
}

/* --- clients --- */

static void welcome(struct console *c)
{
        struct console_backend *b = &c->back;
        int fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
                return;
        stop_listening(c); /* a further client waits in the backlog */
        if (fd < 0) {
                if (!b->told_deaf)
                        virtio_say(&c->d, "%.150s: a client cannot be taken: %s", b->path, strerror(errno));
                b->deaf = b->told_deaf = true;
                return;
        }
        b->fd = fd;
        b->eof = b->left = false;
        console_ctrl_connected(c, 0, true);
}

/* What it did not take is dropped: nobody is there. */
static void part(struct console *c)
{
        struct console_backend *b = &c->back;

        unwatch_fd(c);
        close(b->fd);
        b->fd = -1;
        b->out_len = b->out_done = 0;
        console_ctrl_connected(c, 0, false);
}

/* --- guest to host --- */

/* Sends what it takes. */
static void flush_out(struct console *c)
{
        struct console_backend *b = &c->back;

        while (b->fd >= 0 && has_output(b)) {
                const uint8_t *at = b->out + b->out_done;
                size_t len = b->out_len - b->out_done;
                ssize_t n = is_file(b) ? write(b->fd, at, len) : send(b->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n >= 0) {
                        b->out_done += (size_t)n;
                } else if (errno == EAGAIN) {
                        return;
                } else if (errno != EINTR) {
                        if (is_file(b) && !b->told)
                                virtio_say(&c->d, "%.150s: output is lost: %s", b->path, strerror(errno));
                        b->told = is_file(b);
                        b->left = !is_file(b);
                        b->out_done = b->out_len;
                }
        }
        b->out_len = b->out_done = 0;
}

static bool has_room(struct console_backend *b, size_t len)
{
        uint8_t *more;

        if (len <= b->out_cap)
                return true;
        more = realloc(b->out, len);
        if (!more)
                return false;
        b->out = more;
        b->out_cap = len;
        return true;
}

/* The whole of it into our buffer, so that nothing of the guest's is in flight while a client dawdles. 0 or -errno: not taken. */
static int take_out(struct console *c, const struct virtq_chain *chain)
{
        struct console_backend *b = &c->back;
        ssize_t n;

        if (chain->out_bytes > OUT_MAX_BYTES) {
                virtio_broken(&c->d, "%llu bytes in one buffer; at most %llu are taken", (unsigned long long)chain->out_bytes,
                              (unsigned long long)OUT_MAX_BYTES);
                return -EPROTO;
        }
        if (b->fd < 0 || b->left)
                return 0; /* nobody is there */
        if (!has_room(b, chain->out_bytes)) {
                virtio_broken(&c->d, "no memory for %llu bytes of output", (unsigned long long)chain->out_bytes);
                return -ENOMEM;
        }
        n = virtq_chain_read(chain, 0, b->out, chain->out_bytes);
        /* Read first, asked after: bytes that were read of a condemned VM may be zeros that are none. */
        if (n < 0 || virtio_fetch(&c->d, NULL, 0) < 0)
                return -EFAULT;
        b->out_len = (size_t)n;
        b->out_done = 0;
        return 0;
}

bool console_port_drain(struct console *c)
{
        struct virtqueue *q = c->d.queues[CONSOLE_OUT];
        struct virtq_chain chain;
        bool more = false;

        if (!virtq_started(q))
                return false;
        flush_out(c);
        for (unsigned int i = 0; i < CONSOLE_WAKE_CHAINS && !has_output(&c->back); i++) {
                more = virtio_pop(&c->d, CONSOLE_OUT, &chain) > 0;
                if (!more)
                        break;
                if (take_out(c, &chain) < 0) {
                        virtq_unpop(q);
                        return false;
                }
                virtq_push(q, chain.head, 0);
                flush_out(c);
        }
        virtio_notify(&c->d, CONSOLE_OUT);
        return more && !has_output(&c->back); /* else EPOLLOUT says when to go on */
}

/* --- host to guest --- */

/* One buffer's worth. False: nothing more for now. */
static bool take_in(struct console *c)
{
        struct virtqueue *q = c->d.queues[CONSOLE_IN];
        struct virtq_chain chain;
        uint8_t bytes[IN_BYTES];
        ssize_t n;

        if (virtio_pop(&c->d, CONSOLE_IN, &chain) <= 0) {
                c->in_starved = true;
                return false;
        }
        if (chain.in_bytes == 0) {
                virtio_broken(&c->d, "a buffer without room for input");
                virtq_unpop(q);
                return false;
        }
        n = recv(c->back.fd, bytes, MIN(chain.in_bytes, sizeof(bytes)), MSG_DONTWAIT);
        if (n <= 0) {
                bool error = n < 0 && errno != EAGAIN && errno != EINTR;

                virtq_unpop(q);
                c->back.eof |= n == 0;
                if (error)
                        part(c);
                return false;
        }
        if (virtq_chain_write(&chain, 0, bytes, (size_t)n) < 0) {
                virtq_unpop(q);
                return false;
        }
        virtq_push(q, chain.head, (uint32_t)n);
        return true;
}

static void take_all_in(struct console *c)
{
        for (unsigned int i = 0; i < CONSOLE_WAKE_CHAINS && c->back.fd >= 0 && wants_input(c) && take_in(c); i++)
                ; /* level-triggered: what is left comes again */
        if (virtq_started(c->d.queues[CONSOLE_IN]))
                virtio_notify(&c->d, CONSOLE_IN);
}

static bool has_unread(int fd)
{
        char byte;

        return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* A client that left stays until what it said is heard, unless nobody in the guest listens. */
bool console_port_farewell(struct console *c)
{
        struct console_backend *b = &c->back;

        if (b->fd < 0 || !b->left)
                return false;
        take_all_in(c);
        if (b->fd >= 0 && !(has_unread(b->fd) && (wants_input(c) || c->in_starved)))
                part(c);
        return b->fd >= 0 && wants_input(c);
}

void console_port_ready(struct console *c, int fd, uint32_t events)
{
        struct console_backend *b = &c->back;

        if (fd == b->listen_fd) {
                welcome(c);
                return;
        }
        if (fd != b->fd || is_file(b))
                return;
        b->left |= (events & (EPOLLHUP | EPOLLERR)) != 0;
        if (!b->left && wants_input(c))
                take_all_in(c);
}
