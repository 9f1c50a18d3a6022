/* core/mapper.h: what the kernel pages in by itself is asked for ahead of the guest: hinted pages of mapped runs beside build,
 * the rest politely after the first answer, or at once where it is one step.
 * Owns:    its thread; borrows RAM, the page map and the plan until mapper_free.
 * Threads: made, started and freed by the session thread; the calls marked "any" from every thread. Events are called on its
 *          thread.
 * Blocks:  mapper_free until the thread has ended: a step of 2 MiB, which a slow disk may hold up. */
#pragma once

#include "core/guest_ram.h"
#include "core/plan.h"

struct mapper;

struct mapper_config {
        const struct guest_ram *ram;
        const struct page_map  *map;
        const struct plan      *plan;
        bool                    settle; /* afterwards all mapped runs are brought in */
        bool                    paused; /* nobody runs: settle at once */
        /* how long hinted pages are brought in, from mapper_start on; 0: until all are there */
        uint64_t                budget_ns;
        void                   *arg;
        /* every hinted page is there, or the budget used up (T5); not told where there are none */
        void (*populated)(void *arg, uint64_t ns);
        /* every mapped page is there (T6's part of it); not told without settle */
        void (*settled)(void *arg, uint64_t ns);
        /* once: a page that cannot be had, or no memory for it; nothing is settled then */
        void (*failed)(void *arg, uint64_t page, int error);
};

/* 0 or -errno. */
int  mapper_start(const struct mapper_config *c, struct mapper **ret, struct err *e);
void mapper_free(struct mapper *m); /* ends the thread; accepts NULL */

/* Any thread. The guest was entered (T2), it spoke (T3): all is brought in from T3 on, or 5 s after T2 if it stays
 * silent; what one step of 2 MiB brings in waits for neither. */
void mapper_guest_entered(struct mapper *m, uint64_t ns);
void mapper_guest_spoke(struct mapper *m, uint64_t ns);

/* Until the thread is done or timeout_ms (-1: for ever): 0, -ETIMEDOUT; -EIO when it failed. */
int mapper_wait(struct mapper *m, int timeout_ms);
