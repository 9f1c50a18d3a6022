/* A thread below tools/ takes no signals, and whoever started it keeps its own. */
#include "core/base/thread.h"

#include <criterion/criterion.h>
#include <signal.h>

static void *read_mask(void *arg)
{
        pthread_sigmask(SIG_SETMASK, NULL, arg);
        return NULL;
}

Test(thread, takes_no_signal_from_its_first_moment_on)
{
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD, SIGUSR1};
        pthread_t t;
        sigset_t  its;

        cr_assert_eq(thread_start(&t, read_mask, &its), 0);
        pthread_join(t, NULL);
        for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
                cr_expect_eq(sigismember(&its, signals[i]), 1, "signal %d", signals[i]);
}

Test(thread, leaves_the_mask_of_its_starter_alone)
{
        pthread_t t;
        sigset_t  before, after, its;

        sigemptyset(&before);
        sigaddset(&before, SIGUSR1);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        cr_assert_eq(thread_start(&t, read_mask, &its), 0);
        pthread_join(t, NULL);
        pthread_sigmask(SIG_SETMASK, NULL, &after);
        cr_expect_eq(sigismember(&after, SIGUSR1), 1);
        cr_expect_eq(sigismember(&after, SIGUSR2), 0);
}
