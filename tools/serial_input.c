/* A 16550's receiver is short: the rest is offered again and again. */
#include "tools/serial_input.h"

#include "core/base/units.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define RETRY_MS 5 /* how often a full receiver is offered the rest; a typist does not notice */

struct serial_input {
        struct session *session;
        void (*emptied)(void *arg);
        void           *arg;
        int             timer_fd;
        size_t          len;
        uint8_t         waiting[4096];
};

static void offer(struct serial_input *in)
{
        struct itimerspec once = {.it_value = {.tv_nsec = RETRY_MS * (long)NS_PER_MS}};
        size_t taken = session_serial_in(in->session, in->waiting, in->len);

        memmove(in->waiting, in->waiting + taken, in->len - taken);
        in->len -= taken;
        if (in->len > 0)
                timerfd_settime(in->timer_fd, 0, &once, NULL);
        else if (in->emptied)
                in->emptied(in->arg);
}

static void retry(void *arg, int fd, short revents)
{
        uint64_t n;
        (void)revents;

        if (read(fd, &n, sizeof(n)) == sizeof(n))
                offer(arg);
}

int serial_input_new(struct session *s, void (*emptied)(void *arg), void *arg, struct serial_input **ret, struct err *e)
{
        struct serial_input *in = calloc(1, sizeof(*in));
        int r;

        if (!in)
                return err_set(e, -ENOMEM, "no memory for the serial input");
        in->session = s;
        in->emptied = emptied;
        in->arg = arg;
        in->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        r = in->timer_fd < 0 ? -errno : session_watch(s, in->timer_fd, POLLIN, retry, in);
        if (r < 0) {
                serial_input_free(in);
                return err_set(e, r, "timer of the serial input: %s", strerror(-r));
        }
        *ret = in;
        return 0;
}

size_t serial_input_room(const struct serial_input *in)
{
        return sizeof(in->waiting) - in->len;
}

void serial_input_put(struct serial_input *in, const uint8_t *bytes, size_t len)
{
        len = MIN(len, serial_input_room(in));
        memcpy(in->waiting + in->len, bytes, len);
        in->len += len;
        offer(in);
}

void serial_input_free(struct serial_input *in)
{
        if (!in)
                return;
        if (in->timer_fd >= 0) {
                session_unwatch(in->session, in->timer_fd);
                close(in->timer_fd);
        }
        free(in);
}
