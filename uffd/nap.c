/* uffd/nap.c: how the pager's thread waits when there is nothing to do: it looks for a while, then it sleeps.
 *
 * To wake a thread that sleeps takes half of a fault's time (bench/faults). So where the host has a CPU to spare, the thread goes
 * on looking at its uffd after it answered a fault, as KVM polls before it halts a vCPU: 10 us at first, twice as long each time
 * that the next fault came soon after all, not at all once one stayed away. The time is its own CPU time and stands in the ledger
 * as such. */
#include "uffd/pager_internal.h"

#include "core/base/clock.h"

#include <poll.h>
#include <sys/eventfd.h>

#define LOOK_FIRST_NS (10 * NS_PER_US) /* as KVM's halt_poll_ns_grow_start */
#define LOOK_MAX_NS   (80 * NS_PER_US) /* two faults of a guest that takes them one after another (bench/faults), twice */

/* Between two looks: a look takes a lock that whoever faults wants too. */
static void pause_briefly(void)
{
        for (int i = 0; i < 8; i++)
                __builtin_ia32_pause();
}

/* The next fault came, soon or late. */
static void learn(struct pager *p, uint64_t waited_ns)
{
        if (waited_ns > LOOK_MAX_NS)
                p->look_ns = 0;
        else if (p->look_ns < waited_ns)
                p->look_ns = MIN(MAX(2 * p->look_ns, LOOK_FIRST_NS), LOOK_MAX_NS);
}

/* True when a message came meanwhile. */
static bool look(struct pager *p, uint64_t from_ns)
{
        while (now_ns() < from_ns + p->look_ns && !pager_must_end(p)) {
                if (pager_drain(p) > 0)
                        return true;
                pause_briefly();
        }
        return false;
}

static uint64_t sleep_until(struct pager *p, uint64_t when_ns)
{
        struct pollfd   fds[] = {
                { .fd = p->in.uffd, .events = POLLIN },
                { .fd = p->kick_fd, .events = POLLIN },
                { .fd = p->ring ? read_ring_fd(p->ring) : -1, .events = POLLIN },
        };
        uint64_t        now = now_ns(), left_ns;
        struct timespec t;

        if (p->ring)
                when_ns = MIN(when_ns, read_ring_next_deadline_ns(p->ring));
        left_ns = when_ns > now ? when_ns - now : 0;
        t = (struct timespec){ .tv_sec = (time_t)(left_ns / NS_PER_S), .tv_nsec = (long)(left_ns % NS_PER_S) };
        (void)ppoll(fds, ARRAY_LEN(fds), when_ns == UINT64_MAX ? NULL : &t, NULL);
        if (fds[1].revents) {
                eventfd_t commands;

                (void)eventfd_read(p->kick_fd, &commands);
        }
        return fds[0].revents ? now_ns() : 0;
}

void pager_nap(struct pager *p, uint64_t when_ns)
{
        uint64_t from_ns = now_ns(), fault_ns;

        if (!p->c.spare_cpu) {
                (void)sleep_until(p, when_ns);
                return;
        }
        if (p->look_ns > 0 && look(p, from_ns)) {
                learn(p, now_ns() - from_ns);
                return;
        }
        fault_ns = sleep_until(p, when_ns);
        if (fault_ns)
                learn(p, fault_ns - from_ns);
        else
                p->look_ns = 0;
}
