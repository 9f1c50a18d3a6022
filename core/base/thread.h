/* core/base/thread.h: how every thread below tools/ is started.
 * Owns:    nothing; the caller joins.
 * Threads: any.
 * Blocks:  no. */
#pragma once

#include <pthread.h>

/* pthread_create with every signal blocked, so that no moment is left in which a signal finds the new thread: signals are the session
 * thread's, another one's would end the process whatever it is about to write, and SIGPIPE is an error of write(2) like any other.
 * 0 or -errno. */
int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg);
