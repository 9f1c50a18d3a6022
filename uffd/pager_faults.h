/* uffd/pager_faults.h: what goes wrong in a test, and when: the nth time. Zero: never.
 * Owns:    nothing; silent_fd belongs to the test.
 * Threads: set before pager_new, then read-only; the countdown is the pager's own.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pager_faults {
        bool     nothing_cached; /* every read is a slow one: through io_uring, or plain without it */
        uint32_t short_read;     /* the nth read, cached or slow, comes back with half of its bytes */
        uint32_t eio_read;       /* the nth slow read and the following ones, eio_reads in all, give EIO */
        uint32_t eio_reads;
        uint32_t silent_read;    /* the nth slow read and the following ones, silent_reads in all, ask silent_fd (an empty pipe) */
        uint32_t silent_reads;   /* and hear nothing; needs io_uring */
        int      silent_fd;
        uint32_t eagain_copy;    /* the nth UFFDIO_COPY gives -EAGAIN with nothing done */
        uint32_t short_copy;     /* the nth UFFDIO_COPY of more than one page stops half way */
};
