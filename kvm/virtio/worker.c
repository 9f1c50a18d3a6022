/* kvm/virtio/worker.c: one thread per active device, so that none waits for another. */
#include "kvm/virtio/worker.h"

#include "core/base/cleanup.h"
#include "core/base/thread.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

enum want {
        WANT_PARK,
        WANT_RUN,
        WANT_STOP, /* never left again */
};

/* What an epoll event is about: the upper half of its data; the lower half is a queue or a descriptor. */
enum source {
        SOURCE_CONTROL,
        SOURCE_KICK,
        SOURCE_WATCH,
};

struct virtio_worker {
        /* set when it is made, then read-only */
        struct virtio_device *d;
        const int            *kicks;
        int                   epoll_fd, control_fd; /* an eventfd: `want` changed */
        /* worker only */
        bool     begun;
        uint64_t lost_queues; /* a bit each */
        /* under lock */
        pthread_mutex_t lock;
        pthread_cond_t  changed; /* want or parked */
        enum want       want;
        bool            parked;
        bool            has_thread;
        pthread_t       thread;
};
static_assert(VIRTIO_QUEUES_MAX <= 64, "lost_queues has a bit for each");

/* --- the thread --- */

static bool may_run(struct virtio_worker *w)
{
        bool run;

        pthread_mutex_lock(&w->lock);
        while (w->want == WANT_PARK) {
                w->parked = true;
                pthread_cond_broadcast(&w->changed);
                pthread_cond_wait(&w->changed, &w->lock);
        }
        w->parked = false;
        run = w->want == WANT_RUN;
        pthread_mutex_unlock(&w->lock);
        return run;
}

static void clear(int eventfd)
{
        eventfd_t times;

        (void)eventfd_read(eventfd, &times); /* non-blocking: somebody may have been faster */
}

static void serve_all_queues(struct virtio_worker *w)
{
        for (uint16_t i = 0; i < w->d->nr_queues && !virtio_is_broken(w->d); i++)
                if (virtq_started(w->d->queues[i]))
                        w->d->ops->kicked(w->d, i);
}

/* One event; false: it was an order. One at a time: a descriptor that the device closed has no event left that is older than
 * that. */
static bool serve_event(struct virtio_worker *w)
{
        struct virtio_device *d = w->d;
        struct epoll_event    ev;
        uint32_t              what;

        if (epoll_wait(w->epoll_fd, &ev, 1, -1) != 1)
                return true;
        what = (uint32_t)ev.data.u64;
        switch ((enum source)(ev.data.u64 >> 32)) {
        case SOURCE_CONTROL:
                clear(w->control_fd);
                return false;
        case SOURCE_KICK:
                clear(w->kicks[what]);
                d->ops->kicked(d, (uint16_t)what);
                return true;
        case SOURCE_WATCH:
                if (d->ops->ready)
                        d->ops->ready(d, (int)what, ev.events);
                return true;
        }
        return true;
}

static void drain(struct virtio_worker *w)
{
        if (w->begun && w->d->ops->drain)
                w->d->ops->drain(w->d);
}

/* Until an order comes. */
static void serve(struct virtio_worker *w)
{
        struct pollfd control = { .fd = w->control_fd, .events = POLLIN };

        serve_all_queues(w);
        while (!virtio_is_broken(w->d))
                if (!serve_event(w))
                        return;
        drain(w);
        while (poll(&control, 1, -1) < 0)
                ;
        clear(w->control_fd);
}

static void begin(struct virtio_worker *w)
{
        struct virtio_device *d = w->d;
        struct err            e = { 0 };

        if (d->ops->begin(d, &e) < 0)
                virtio_broken(d, "%s", e.text);
        else
                w->begun = true;
        if (d->serving)
                d->serving(d->transport);
}

static void *worker_main(void *arg)
{
        struct virtio_worker *w = arg;
        char                  name[16];

        snprintf(name, sizeof(name), "%s%u", virtio_kind_name(w->d->ops->kind), w->d->slot);
        prctl(PR_SET_NAME, name);
        begin(w);
        while (may_run(w)) {
                serve(w);
                drain(w);
        }
        if (w->begun && w->d->ops->end)
                w->d->ops->end(w->d);
        return NULL;
}

/* --- made and freed --- */

static int add(struct virtio_worker *w, int op, int fd, uint32_t events, enum source source, uint32_t what)
{
        struct epoll_event ev = { .events = events, .data.u64 = (uint64_t)source << 32 | what };

        return epoll_ctl(w->epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

static int open_all(struct virtio_worker *w)
{
        int r;

        w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        w->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->epoll_fd < 0 || w->control_fd < 0)
                return -errno;
        r = add(w, EPOLL_CTL_ADD, w->control_fd, EPOLLIN, SOURCE_CONTROL, 0);
        for (uint16_t i = 0; i < w->d->nr_queues && r >= 0; i++)
                if (virtq_started(w->d->queues[i]))
                        r = add(w, EPOLL_CTL_ADD, w->kicks[i], EPOLLIN, SOURCE_KICK, i);
        return r;
}

int worker_new(struct virtio_device *d, const int *kicks, struct virtio_worker **ret)
{
        struct virtio_worker *w = calloc(1, sizeof(*w));
        int                   r;

        if (!w)
                return -ENOMEM;
        w->d = d;
        w->kicks = kicks;
        w->epoll_fd = w->control_fd = -1;
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->changed, NULL);
        r = open_all(w);
        if (r < 0) {
                worker_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

void worker_free(struct virtio_worker *w)
{
        if (!w)
                return;
        if (w->epoll_fd >= 0)
                close(w->epoll_fd);
        if (w->control_fd >= 0)
                close(w->control_fd);
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->lock);
        free(w);
}

/* --- orders --- */

static int start_thread(struct virtio_worker *w)
{
        int r = thread_start(&w->thread, worker_main, w);

        w->has_thread = r == 0;
        return r;
}

/* Under lock. */
static void set_want(struct virtio_worker *w, enum want want)
{
        w->want = want;
        pthread_cond_broadcast(&w->changed);
        if (want != WANT_RUN)
                (void)eventfd_write(w->control_fd, 1); /* fails only with 2^64 - 2 orders unread */
}

int worker_run(struct virtio_worker *w)
{
        int r = 0;

        pthread_mutex_lock(&w->lock);
        if (w->want == WANT_PARK) {
                if (!w->has_thread)
                        r = start_thread(w);
                if (r >= 0)
                        set_want(w, WANT_RUN);
        }
        pthread_mutex_unlock(&w->lock);
        return r;
}

void worker_ask_to_park(struct virtio_worker *w)
{
        pthread_mutex_lock(&w->lock);
        if (w->want == WANT_RUN)
                set_want(w, WANT_PARK);
        pthread_mutex_unlock(&w->lock);
}

void worker_park(struct virtio_worker *w)
{
        worker_ask_to_park(w);
        pthread_mutex_lock(&w->lock);
        while (w->has_thread && w->want == WANT_PARK && !w->parked)
                pthread_cond_wait(&w->changed, &w->lock);
        pthread_mutex_unlock(&w->lock);
}

void worker_stop(struct virtio_worker *w)
{
        bool join;

        pthread_mutex_lock(&w->lock);
        join = w->has_thread;
        w->has_thread = false;
        set_want(w, WANT_STOP);
        pthread_mutex_unlock(&w->lock);
        if (join)
                pthread_join(w->thread, NULL);
}

/* --- for the device --- */

int worker_watch(struct virtio_worker *w, int fd, uint32_t events)
{
        int r = add(w, EPOLL_CTL_MOD, fd, events, SOURCE_WATCH, (uint32_t)fd);

        return r == -ENOENT ? add(w, EPOLL_CTL_ADD, fd, events, SOURCE_WATCH, (uint32_t)fd) : r;
}

void worker_unwatch(struct virtio_worker *w, int fd)
{
        (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* not watched: as asked */
}

bool worker_lose_queue(struct virtio_worker *w, uint16_t queue)
{
        bool known = worker_has_lost(w, queue);

        w->lost_queues |= UINT64_C(1) << queue;
        return !known;
}

bool worker_has_lost(const struct virtio_worker *w, uint16_t queue)
{
        return w->lost_queues >> queue & 1;
}
