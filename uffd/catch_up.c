/* uffd/catch_up.c: a page is there, or gone, a moment before its state says so: whoever must know exactly waits for one round of
 * the loop. */
#include "uffd/pager_internal.h"

#include "core/base/clock.h"

#include <errno.h>
#include <sys/eventfd.h>

/* Longer than a batch takes by far, and than a busy disk holds a thread up that has no io_uring. */
#define PATIENCE_NS (5 * NS_PER_S)

void pager_say_caught_up(struct pager *p)
{
        /* Acquire, pairs with pager_catch_up: who asked had seen the guest stop. */
        uint32_t asked = atomic_load_explicit(&p->asked_to_catch_up, memory_order_acquire);

        if (asked == p->told_caught_up)
                return;
        p->told_caught_up = asked;
        pthread_mutex_lock(&p->lock);
        p->caught_up = asked;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
}

int pager_catch_up(struct pager *p)
{
        uint64_t        end_ns = now_ns() + PATIENCE_NS;
        struct timespec until = { .tv_sec = (time_t)(end_ns / NS_PER_S), .tv_nsec = (long)(end_ns % NS_PER_S) };
        uint32_t        nr;
        int             r = 0;

        if (!p->armed || p->joined)
                return 0;
        nr = atomic_fetch_add_explicit(&p->asked_to_catch_up, 1, memory_order_release) + 1; /* pairs with pager_say_caught_up */
        (void)eventfd_write(p->kick_fd, 1);
        pthread_mutex_lock(&p->lock);
        while (p->caught_up != nr && !p->gone && r == 0)
                r = pthread_cond_timedwait(&p->changed, &p->lock, &until);
        pthread_mutex_unlock(&p->lock);
        return -r;
}
