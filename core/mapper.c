/* One thread that calls madvise(MADV_POPULATE_*): nothing that it does or leaves out can make a page wrong, only late. */
#include "core/mapper.h"

#include "core/base/clock.h"
#include "core/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STEP_PAGES (HUGE_PAGE_BYTES / PAGE_BYTES) /* of settling: 2 MiB, 0.1 ms where it is cached, 2 ms from a disk of 1 GiB/s */

/* The disk is the guest's first while it starts up: after a step that had to wait for it as long a pause, until this long after
 * T3. */
#define POLITE_AFTER_T3_NS (2 * NS_PER_S)
#define POLITE_AFTER_T2_NS (5 * NS_PER_S) /* a guest that stays silent: begin then (as the pager's fill does) */
#define STEP_WAITED_NS     NS_PER_MS      /* a step that took longer came from the disk */

#define AHEAD_PAGES     32 /* 128 KiB: as much as one call asks for whatever the device's read-ahead is (force_page_cache_ra caps it) */
#define AHEAD_GAP_PAGES 3  /* asked for together with both sides of it (restore-costs.md) */
#define COLD_SAMPLES    16

struct mapper {
        /* set by mapper_start, then read-only */
        struct mapper_config c;
        pthread_t            thread;
        /* under lock */
        pthread_mutex_t lock;
        pthread_cond_t  changed;
        bool            stop, done, failed;
        uint64_t        entered_ns, spoke_ns;
};

static bool must_stop(struct mapper *m)
{
        bool stop, building;

        pthread_mutex_lock(&m->lock);
        stop = m->stop;
        building = !m->entered_ns;
        pthread_mutex_unlock(&m->lock);
        /* As the pager does (uffd/serve.c): while the machine is built, KVM's calls wait for this thread's time slice (1 GiB, 255
         * pages: T1 6.5 ms, 5.9 so). */
        if (building)
                sched_yield();
        return stop;
}

static struct timespec at_ns(uint64_t ns)
{
        return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

/* With the lock held: until something changes or until_ns (UINT64_MAX: no end). */
static void wait_change(struct mapper *m, uint64_t until_ns)
{
        struct timespec until = at_ns(until_ns);

        if (until_ns == UINT64_MAX)
                pthread_cond_wait(&m->changed, &m->lock);
        else
                pthread_cond_timedwait(&m->changed, &m->lock, &until);
}

/* --- the hinted pages --- */

static const struct page_run *raw_run(const struct mapper *m, uint64_t page)
{
        const struct page_run *run = page_map_find(m->c.map, page);

        return run && run->kind == RUN_RAW ? run : NULL;
}

/* mincore(2) of a private mapping tells of the page cache. Some stand for all. */
static bool is_cold(const struct mapper *m)
{
        const struct plan *p = m->c.plan;
        size_t step = p->nr_populate / COLD_SAMPLES + 1;
        unsigned char there;

        for (size_t i = 0; i < p->nr_populate; i += step)
                if (raw_run(m, p->populate[i].first_page) &&
                    mincore(m->c.ram->base + pages_to_bytes(p->populate[i].first_page), PAGE_BYTES, &there) == 0 && !(there & 1))
                        return true;
        return false;
}

static void ask_for(const struct mapper *m, const struct page_run *run, uint64_t first, uint64_t end)
{
        uint64_t offset = run->file_offset_bytes + pages_to_bytes(first - run->first_page);

        end = MIN(end, run->first_page + run->nr_pages);
        for (; first < end; first += AHEAD_PAGES, offset += pages_to_bytes(AHEAD_PAGES))
                posix_fadvise(m->c.map->sources[run->source].fd, (off_t)offset,
                              (off_t)pages_to_bytes(MIN(AHEAD_PAGES, end - first)), POSIX_FADV_WILLNEED);
}

/* All of them at once, neighbours together: the disk sorts it out. One after another a cold restore takes five times as long. */
static void ask_for_all(const struct mapper *m)
{
        const struct plan *p = m->c.plan;
        const struct page_run *run = NULL;
        uint64_t first = 0, end = 0;

        for (size_t i = 0; i < p->nr_populate; i++) {
                const struct plan_extent *x = &p->populate[i];

                if (run && x->first_page >= end && x->first_page - end <= AHEAD_GAP_PAGES &&
                    x->first_page < run->first_page + run->nr_pages) {
                        end = x->first_page + x->nr_pages;
                        continue;
                }
                if (run)
                        ask_for(m, run, first, end);
                run = raw_run(m, x->first_page);
                first = x->first_page;
                end = first + x->nr_pages;
        }
        if (run)
                ask_for(m, run, first, end);
}

/* 0 or -errno. A mapping that a balloon has just taken apart is no error of ours: what is not there comes when it is touched. */
static int populate(const struct mapper *m, uint64_t first, uint64_t nr, bool write)
{
        uint8_t *at = m->c.ram->base + pages_to_bytes(first);

        if (madvise(at, pages_to_bytes(nr), write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0)
                return 0;
        return errno == EFAULT || errno == EHWPOISON || errno == ENOMEM ? -errno : 0;
}

static bool fail(struct mapper *m, uint64_t page, int error)
{
        pthread_mutex_lock(&m->lock);
        m->failed = true;
        pthread_mutex_unlock(&m->lock);
        m->c.failed(m->c.arg, page, error);
        return false;
}

/* False when it was stopped or has failed. */
static bool populate_hints(struct mapper *m)
{
        const struct plan *p = m->c.plan;
        uint64_t end_ns = m->c.budget_ns ? now_ns() + m->c.budget_ns : UINT64_MAX;

        if (!p->nr_populate)
                return true;
        if (is_cold(m))
                ask_for_all(m);
        for (size_t i = 0; i < p->nr_populate && now_ns() < end_ns; i++) {
                const struct plan_extent *x = &p->populate[i];

                for (uint64_t done = 0; done < x->nr_pages; done += STEP_PAGES) {
                        int r;

                        if (must_stop(m))
                                return false;
                        r = populate(m, x->first_page + done, MIN(STEP_PAGES, x->nr_pages - done), x->write);
                        if (r < 0)
                                return fail(m, x->first_page + done, r);
                }
        }
        m->c.populated(m->c.arg, now_ns());
        return true;
}

/* --- the rest --- */

/* What one step brings in is no burden to a guest that starts up: then nothing is left to do once the hints and what was read
 * ahead are there. */
static bool is_one_step(const struct plan *p)
{
        uint64_t pages = 0;

        for (size_t i = 0; i < p->nr_mapped; i++)
                pages += p->mapped[i].nr_pages;
        return pages <= STEP_PAGES;
}

/* False when it is to end before that. */
static bool wait_for_turn(struct mapper *m)
{
        bool go = is_one_step(m->c.plan);

        pthread_mutex_lock(&m->lock);
        while (!m->stop && !go) {
                uint64_t until = m->entered_ns ? m->entered_ns + POLITE_AFTER_T2_NS : UINT64_MAX;

                go = m->spoke_ns || (m->c.paused && !m->entered_ns) || now_ns() >= until;
                if (!go)
                        wait_change(m, until);
        }
        go = go && !m->stop;
        pthread_mutex_unlock(&m->lock);
        return go;
}

/* After a step that took took_ns. False when it is to end. */
static bool give_way(struct mapper *m, uint64_t took_ns)
{
        uint64_t now = now_ns(), until = now + took_ns;
        bool go;

        pthread_mutex_lock(&m->lock);
        while (!m->stop && took_ns > STEP_WAITED_NS && now < until && m->entered_ns && now < m->spoke_ns + POLITE_AFTER_T3_NS) {
                wait_change(m, until);
                now = now_ns();
        }
        go = !m->stop;
        pthread_mutex_unlock(&m->lock);
        return go;
}

static bool settle_range(struct mapper *m, const struct pager_range *range)
{
        for (uint64_t done = 0; done < range->nr_pages; done += STEP_PAGES) {
                uint64_t before_ns = now_ns();
                int r = populate(m, range->first_page + done, MIN(STEP_PAGES, range->nr_pages - done), false);

                if (r < 0)
                        return fail(m, range->first_page + done, r);
                if (!give_way(m, now_ns() - before_ns))
                        return false;
        }
        return true;
}

static void settle(struct mapper *m)
{
        if (!wait_for_turn(m))
                return;
        for (size_t i = 0; i < m->c.plan->nr_mapped; i++)
                if (!settle_range(m, &m->c.plan->mapped[i]))
                        return;
        m->c.settled(m->c.arg, now_ns());
}

static void *mapper_main(void *arg)
{
        struct mapper *m = arg;

        pthread_setname_np(pthread_self(), "rouse-mapper");
        if (populate_hints(m) && m->c.settle)
                settle(m);
        pthread_mutex_lock(&m->lock);
        m->done = true;
        pthread_cond_broadcast(&m->changed);
        pthread_mutex_unlock(&m->lock);
        return NULL;
}

/* --- the handle --- */

static void init_lock(struct mapper *m)
{
        pthread_condattr_t monotonic;

        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_mutex_init(&m->lock, NULL);
        pthread_cond_init(&m->changed, &monotonic);
        pthread_condattr_destroy(&monotonic);
}

static void give_back(struct mapper *m)
{
        pthread_cond_destroy(&m->changed);
        pthread_mutex_destroy(&m->lock);
        free(m);
}

int mapper_start(const struct mapper_config *c, struct mapper **ret, struct err *e)
{
        struct mapper *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return err_set(e, -ENOMEM, "no memory for the thread that brings mapped pages in");
        m->c = *c;
        init_lock(m);
        r = thread_start(&m->thread, mapper_main, m);
        if (r < 0) {
                give_back(m);
                return err_set(e, r, "thread that brings mapped pages in: %s", strerror(-r));
        }
        *ret = m;
        return 0;
}

void mapper_free(struct mapper *m)
{
        if (!m)
                return;
        pthread_mutex_lock(&m->lock);
        m->stop = true;
        pthread_cond_broadcast(&m->changed);
        pthread_mutex_unlock(&m->lock);
        pthread_join(m->thread, NULL);
        give_back(m);
}

void mapper_guest_entered(struct mapper *m, uint64_t ns)
{
        pthread_mutex_lock(&m->lock);
        m->entered_ns = ns;
        pthread_cond_broadcast(&m->changed);
        pthread_mutex_unlock(&m->lock);
}

void mapper_guest_spoke(struct mapper *m, uint64_t ns)
{
        pthread_mutex_lock(&m->lock);
        m->spoke_ns = ns;
        pthread_cond_broadcast(&m->changed);
        pthread_mutex_unlock(&m->lock);
}

int mapper_wait(struct mapper *m, int timeout_ms)
{
        uint64_t until = timeout_ms < 0 ? UINT64_MAX : now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
        int r;

        pthread_mutex_lock(&m->lock);
        while (!m->done && now_ns() < until)
                wait_change(m, until);
        r = !m->done ? -ETIMEDOUT : m->failed ? -EIO : 0;
        pthread_mutex_unlock(&m->lock);
        return r;
}
