/* bench/floors/touch.c: no VM: nothing but the fault is measured. */
#include "bench/floors/touch.h"

#include "bench/floors/memory.h"
#include "core/base/clock.h"
#include "core/base/units.h"

#include <errno.h>
#include <pthread.h>

struct toucher {
        const struct touch_plan *plan;
        pthread_barrier_t       *start;
        const uint64_t          *pages;
        double                  *us;
        pthread_t                thread;
};

static void *touch(void *arg)
{
        struct toucher *t = arg;

        pthread_barrier_wait(t->start);
        for (unsigned i = 0; i < t->plan->touches; i++) {
                volatile uint8_t *at = t->plan->memory + t->pages[i] * t->plan->page_bytes;
                uint64_t          t0 = now_ns();

                if (t->plan->write)
                        *at = 1;
                else
                        (void)*at;
                t->us[i] = (double)(now_ns() - t0) / (double)NS_PER_US;
        }
        return NULL;
}

void touch_run(const struct touch_plan *p)
{
        struct toucher    t[TOUCH_THREADS_MAX];
        pthread_barrier_t start;
        int               r;

        if (p->threads > TOUCH_THREADS_MAX)
                floor_die("threads that touch", EINVAL);
        pthread_barrier_init(&start, NULL, p->threads);
        for (unsigned i = 0; i < p->threads; i++) {
                t[i] = (struct toucher){ .plan = p, .start = &start, .pages = p->pages + i * p->stride,
                                         .us = p->us + (uint64_t)i * p->touches };
                r = pthread_create(&t[i].thread, NULL, touch, &t[i]);
                if (r != 0)
                        floor_die("a thread that touches", r);
        }
        for (unsigned i = 0; i < p->threads; i++)
                pthread_join(t[i].thread, NULL);
        pthread_barrier_destroy(&start);
}
