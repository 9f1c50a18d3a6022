/* The mask travels by the attribute (glibc 2.32): the caller's own is never touched. */
#include "core/base/thread.h"

#include <signal.h>

int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg)
{
        pthread_attr_t attr;
        sigset_t       all;
        int            r = pthread_attr_init(&attr);

        if (r)
                return -r;
        sigfillset(&all);
        r = pthread_attr_setsigmask_np(&attr, &all);
        if (!r)
                r = pthread_create(ret, &attr, run, arg);
        pthread_attr_destroy(&attr);
        return -r;
}
