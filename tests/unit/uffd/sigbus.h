/* tests/unit/uffd/sigbus.h: touches that may be SIGBUS.
 * Owns:    the handler of SIGBUS.
 * Threads: the test's own one.
 * Blocks:  until the page is there or lost. */
#pragma once

#include "tests/unit/uffd/rig.h"

#include <setjmp.h>
#include <signal.h>

static sigjmp_buf back; /* a signal handler has no other way */

static inline void on_sigbus(int sig)
{
        siglongjmp(back, sig);
}

/* BUS_MCEERR_AR, or BUS_ADRERR where the kernel has no CONFIG_MEMORY_FAILURE. */
static inline bool touch_is_sigbus(const struct rig *g, uint64_t page)
{
        struct sigaction sa = { .sa_handler = on_sigbus };

        sigaction(SIGBUS, &sa, NULL);
        if (sigsetjmp(back, 1) != 0)
                return true;
        (void)rig_touch(g, page);
        return false;
}
