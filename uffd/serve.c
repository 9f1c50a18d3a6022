/* uffd/serve.c: the pager's loop, from its first message to its end.
 *
 *   drain ──► answer ──► finish slow reads ──► nobody waits? one batch of replay or fill ──► nothing to do? sleep
 *     ▲                                                                                            │
 *     └────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Every round begins with the uffd, so a fault waits for one batch at most. The thread sleeps on the uffd, the ring and the
 * eventfd of commands at once, until the next deadline. It ends when it is stopped, or when every page is resident or lost. */
#include "uffd/pager_internal.h"

#include "core/base/clock.h"
#include "uffd/uffd.h"

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

/* The part of the buffer that answers and replay use is there before the first fault comes. */
#define BUF_HOT_BYTES (FILL_POLITE_PAGES * PAGE_BYTES)

/* A guest that faults without a pause gets this many rounds of answers before one batch goes ahead: nobody starves. */
#define DEMAND_ROUNDS_MAX 64

/* --- the end: every page is resident or lost --- */

static bool all_settled(const struct pager *p)
{
        const uint64_t *n = p->states.count;

        if (n[PAGE_INSTALLED] + n[PAGE_REMOVED] + n[PAGE_LOST] + n[PAGE_POISONED] == p->served_pages)
                return true;
        return p->fill.passed && fill_is_over(&p->fill, &p->view) && n[PAGE_WANTED] + n[PAGE_READING] == 0;
}

/* Zero pages that the fill passed: without the uffd the kernel has them ready, and they cost neither a call nor a page table
 * before. */
static void leave_zeros(struct pager *p)
{
        uint64_t ns = timeline_now(&p->timeline);

        for (size_t i = 0; i < p->view.served.nr; i++) {
                const struct pager_range *r = &p->view.served.v[i];
                uint64_t                  range_end = r->first_page + r->nr_pages, page = r->first_page, end;

                for (; (page = page_states_next_absent(&p->states, page, range_end)) < range_end; page = end) {
                        end = page_states_end_of_absent(&p->states, page, range_end);
                        page_states_install_absent(&p->states, page, end - page);
                        count(&p->n.faults[FAULT_ZERO], end - page);
                        timeline_add(&p->timeline, ns, page, end - page, FAULT_ZERO);
                }
        }
        pager_publish_resident(p);
}

/* The first lost page from `page` on; end where there is none. Who touches zeros that were left to the kernel waits meanwhile,
 * and a look at each page of 64 GiB takes some 30 ms: so only where one is lost. */
static uint64_t next_lost(const struct pager *p, uint64_t page, uint64_t end)
{
        if (p->states.count[PAGE_LOST] == 0)
                return end;
        while (page < end && page_state_get(&p->states, page) != PAGE_LOST)
                page++;
        return page;
}

/* All but the lost pages that could not be poisoned: unregistered they would read as zeros. */
static void unregister_range(struct pager *p, const struct pager_range *r)
{
        uint64_t first = r->first_page, end = r->first_page + r->nr_pages, page = first;

        while (page < end) {
                page = next_lost(p, page, end);
                if (page > first) { /* should it fail: closing the uffd does the same */
                        (void)uffd_unregister(p->in.uffd, p->c.ram + pages_to_bytes(first), pages_to_bytes(page - first));
                        /* it woke whoever still waited there, for a page that was given back: no answer would reach them any
                         * more */
                        count(&p->n.stall_ns, demand_take(&p->demand, first, page - first, now_ns()));
                }
                first = ++page;
        }
}

static void tell_done(struct pager *p)
{
        if (p->c.events.done)
                p->c.events.done(p->c.events.arg, now_ns());
        pthread_mutex_lock(&p->lock);
        p->done = true;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
}

/* True when the thread has nothing left to do. */
static bool settle_all(struct pager *p)
{
        (void)hint_walk_peek(&p->replay, &p->view, 1, 0, true); /* goes past hints that were settled in other ways */
        pager_check_replayed(p);
        leave_zeros(p);
        for (size_t i = 0; i < p->view.served.nr; i++)
                unregister_range(p, &p->view.served.v[i]);
        if (p->states.count[PAGE_LOST] == 0) {
                pthread_mutex_lock(&p->lock); /* pager_give_up may want it */
                /* Lets go, too, of a madvise whose event came after the last read. */
                close(p->in.uffd);
                p->in.uffd = -1;
                pthread_mutex_unlock(&p->lock);
        }
        p->settled = true;
        tell_done(p);
        return p->in.uffd < 0;
}

/* --- the loop --- */

/* From here on this thread starts no read, so nothing holds it up. */
static void say_given_up(struct pager *p)
{
        pthread_mutex_lock(&p->lock);
        p->gave_up = true;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
}

/* One round without sleep; true when the next one should follow at once. *ret_when_ns: else, until when to sleep. */
static bool round_of_work(struct pager *p, uint64_t *ret_when_ns)
{
        bool more;

        (void)pager_drain(p);
        pager_say_caught_up(p);
        if (atomic_load_explicit(&p->given_up, memory_order_relaxed)) { /* a flag and no more: the kick made this thread look */
                say_given_up(p);
                pager_let_all_go(p);
                *ret_when_ns = UINT64_MAX;
                return false;
        }
        more = p->fresh;
        pager_answer(p);
        if (slow_finish(p, now_ns()))
                more = true;
        pager_go_on_with_granules(p);
        if (p->ring)
                read_ring_submit(p->ring);
        more = more || p->fresh;
        if (more && ++p->demand_rounds < DEMAND_ROUNDS_MAX)
                return true;
        p->demand_rounds = 0;
        if (pager_prefetch(p, now_ns(), ret_when_ns)) {
                more = true;
                /* While the machine is built, KVM's calls wait for kernel workers, and those would wait for this thread's time
                 * slice (3 ms). Once the guest runs, the slice is better kept: its faults wait for this thread. Relaxed: a hint
                 * to timing. */
                if (!atomic_load_explicit(&p->entered_ns, memory_order_relaxed))
                        sched_yield();
        }
        if (p->ring)
                read_ring_submit(p->ring);
        return more;
}

static void serve(struct pager *p)
{
        uint64_t when_ns = UINT64_MAX;

        while (!pager_must_end(p)) {
                bool more = round_of_work(p, &when_ns);

                pager_check_replayed(p);
                if (!p->settled && all_settled(p) && settle_all(p))
                        return;
                if (!more && !pager_must_end(p))
                        pager_nap(p, when_ns);
        }
}

/* Says that the thread is at its end. What a silent file system has not given back yet goes with it: returned, for the thread to
 * wait for. */
static struct read_ring *end_thread(struct pager *p)
{
        struct read_ring *silent = p->ring && !read_ring_take_back(p->ring, READ_RING_PATIENCE_NS) ? p->ring : NULL;

        atomic_store_explicit(&p->n.cpu_ns, clock_read_ns(CLOCK_THREAD_CPUTIME_ID), memory_order_relaxed);
        atomic_store_explicit(&p->ended, true, memory_order_release); /* pairs with cpu_ns(): the sum above is there first */
        pthread_mutex_lock(&p->lock);
        p->gone = true;
        p->lingers = silent != NULL;
        if (silent)
                p->ring = NULL;
        p->result = p->failed;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
        return silent;
}

void *pager_main(void *arg)
{
        struct pager     *p = arg;
        struct read_ring *silent;

        pthread_setname_np(pthread_self(), "rouse-pager");
        (void)madvise(p->buf, BUF_HOT_BYTES, MADV_POPULATE_WRITE); /* it only saves time (Linux 5.14) */
        serve(p);
        silent = end_thread(p);
        /* Nobody waits for this thread now, and p may be gone. It ends when the file system answers, or with the process. */
        while (silent && !read_ring_take_back(silent, NS_PER_S))
                ;
        read_ring_free(silent);
        return NULL;
}
