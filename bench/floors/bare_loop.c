/* bench/floors/bare_loop.c: a loop without any account of anything. */
#include "bench/floors/bare_loop.h"

#include "bench/floors/memory.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "uffd/uffd.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct bare_loop {
        int            uffd, stop_fd;
        uint8_t       *ram;
        const uint8_t *warm;
        uint64_t       page_bytes;
        pthread_t      thread;
};

static void answer(const struct bare_loop *l)
{
        struct uffd_msg m;
        uint64_t        at, done;

        if (uffd_read_events(l->uffd, &m, 1) != 1)
                return;
        at = (m.arg.pagefault.address - (uintptr_t)l->ram) & ~(l->page_bytes - 1);
        if (uffd_copy(l->uffd, l->ram + at, l->warm + at, l->page_bytes, true, &done) == -EEXIST)
                uffd_wake(l->uffd, l->ram + at, l->page_bytes);
}

static void *loop(void *arg)
{
        struct bare_loop *l = arg;
        struct pollfd     fds[] = { { .fd = l->uffd, .events = POLLIN }, { .fd = l->stop_fd, .events = POLLIN } };

        while (poll(fds, 2, -1) >= 0 && !fds[1].revents)
                answer(l);
        return NULL;
}

struct bare_loop *bare_loop_start(const struct host_caps *caps, uint8_t *ram, const uint8_t *warm, uint64_t len_bytes,
                                  uint64_t page_bytes, struct err *e)
{
        struct bare_loop *l = calloc(1, sizeof(*l));
        int               r;

        if (!l)
                floor_die("bare loop", ENOMEM);
        *l = (struct bare_loop){ .ram = ram, .warm = warm, .page_bytes = page_bytes, .uffd = -1,
                                 .stop_fd = eventfd(0, EFD_CLOEXEC) };
        r = uffd_open(caps, UFFD_FEATURE_EVENT_REMOVE, &l->uffd, e);
        if (r < 0) {
                close(l->stop_fd);
                free(l);
                return NULL;
        }
        r = uffd_register(l->uffd, ram, len_bytes, UFFDIO_REGISTER_MODE_MISSING);
        if (r >= 0)
                r = -pthread_create(&l->thread, NULL, loop, l);
        if (r < 0)
                floor_die("bare loop", r);
        return l;
}

uint64_t bare_loop_cpu_ns(const struct bare_loop *l)
{
        clockid_t clock;

        return pthread_getcpuclockid(l->thread, &clock) == 0 ? clock_read_ns(clock) : 0;
}

void bare_loop_stop(struct bare_loop *l)
{
        (void)eventfd_write(l->stop_fd, 1);
        pthread_join(l->thread, NULL);
        close(l->uffd);
        close(l->stop_fd);
        free(l);
}
