/* uffd/pager.c: the pager's handle: made, armed, told what to do, asked what it did, stopped. Its thread is serve.c's. */
#include "uffd/pager_internal.h"

#include "core/base/clock.h"
#include "core/base/thread.h"
#include "uffd/backing.h"
#include "uffd/uffd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUF_BYTES (FILL_FULL_PAGES * PAGE_BYTES)

/* Pages that were given back, and asked for again: a balloon of 256 MiB, once. */
#define TIMELINE_SPARE 65536

/* How long the session thread waits for this one where it must not wait for ever: arbitrary, longer than a busy disk holds a
 * submission up. */
#define PATIENCE_MS 2000

static int check_config(const struct pager_config *c, uint64_t *ret_served_pages, struct err *e)
{
        uint64_t end = 0, sum = 0;

        for (size_t i = 0; i < c->nr_served; i++) {
                const struct pager_range *r = &c->served[i];

                if (r->first_page < end || r->nr_pages == 0 || !range_fits(r->first_page, r->nr_pages, c->map->nr_pages))
                        return err_set(e, -EINVAL, "pager: served range %zu: expected sorted ranges within %llu RAM pages, found "
                                       "[%llu, +%llu)", i, (unsigned long long)c->map->nr_pages,
                                       (unsigned long long)r->first_page, (unsigned long long)r->nr_pages);
                end = r->first_page + r->nr_pages;
                sum += r->nr_pages;
        }
        if (c->verify && !c->map->sums && !c->map->nr_chunks)
                return err_set(e, -EINVAL, "pager: expected a page map with checksums to verify, found none");
        *ret_served_pages = sum;
        return 0;
}

static int init_lock(struct pager *p)
{
        pthread_condattr_t a;
        int                r;

        r = pthread_mutex_init(&p->lock, NULL);
        if (r != 0)
                return -r;
        pthread_condattr_init(&a);
        pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
        r = pthread_cond_init(&p->changed, &a);
        pthread_condattr_destroy(&a);
        if (r != 0)
                pthread_mutex_destroy(&p->lock);
        p->has_lock = r == 0;
        return -r;
}

static int allocate(struct pager *p)
{
        int r = page_states_init(&p->states, p->c.map->nr_pages);

        if (r >= 0)
                r = sources_init(&p->sources, p->c.map, p->c.faults);
        page_sums_init(&p->sums, p->c.map);
        if (r >= 0)
                r = cold_init(&p->cold, p->c.map, p->c.faults);
        if (r >= 0)
                r = packed_init(&p->packed, p->c.map);
        if (r >= 0 && p->c.record)
                r = record_init(&p->record, p->served_pages);
        if (r >= 0 && p->c.timeline)
                r = timeline_init(&p->timeline, p->served_pages + TIMELINE_SPARE);
        if (r >= 0 && p->c.caps->io_uring) {
                r = read_ring_new(&p->ring);
                if (r == -ENOSYS || r == -EPERM || r == -ENOMEM) /* a seccomp filter, a sysctl or RLIMIT_MEMLOCK says no: as on a host without it */
                        r = 0;
        }
        if (r >= 0)
                r = pager_prepare_backing(p);
        if (r >= 0)
                r = stage_init(p);
        if (r >= 0)
                r = init_lock(p);
        if (r < 0)
                return r;
        p->buf = mmap(NULL, BUF_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p->buf == MAP_FAILED) {
                p->buf = NULL;
                return -ENOMEM;
        }
        p->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return p->kick_fd < 0 ? -errno : 0;
}

static void begin_walks(struct pager *p)
{
        size_t nr_replay = p->c.record ? 0 : p->c.nr_replay;

        p->view = (struct replay_view){ .map = p->c.map, .served = { p->c.served, p->c.nr_served }, .states = &p->states };
        hint_walk_init(&p->replay, p->c.replay, nr_replay);
        p->replay_left_pages = p->c.replay_budget_bytes ? bytes_to_pages(p->c.replay_budget_bytes) : UINT64_MAX;
        depth_init(&p->depth);
        p->replayed = nr_replay == 0; /* without hints there is nothing to tell */
}

int pager_new(const struct pager_config *c, struct pager **ret, struct err *e)
{
        uint64_t      features = UFFD_FEATURE_EVENT_REMOVE | (c->caps->uffd_poison ? UFFD_FEATURE_POISON : 0) |
                                 (c->record ? UFFD_FEATURE_THREAD_ID : 0);
        uint64_t      served_pages = 0;
        struct pager *p;
        int           r = check_config(c, &served_pages, e);

        if (r < 0)
                return r;
        p = calloc(1, sizeof(*p));
        if (!p)
                return err_set(e, -ENOMEM, "pager: no memory for the handle");
        p->c = *c;
        p->served_pages = served_pages;
        p->kick_fd = -1;
        pager_find_backing(p);
        r = uffd_open(c->caps, features | p->in.ops->features, &p->in.uffd, e);
        if (r >= 0) {
                r = allocate(p);
                if (r < 0)
                        err_set(e, r, "pager: resources for %llu RAM pages: %s", (unsigned long long)c->map->nr_pages,
                                strerror(-r));
        }
        if (r < 0) {
                pager_free(p);
                return r;
        }
        begin_walks(p);
        *ret = p;
        return 0;
}

static int start_thread(struct pager *p)
{
        clockid_t clock;
        int       r = thread_start(&p->thread, pager_main, p);

        if (r < 0)
                return r;
        if (pthread_getcpuclockid(p->thread, &clock) == 0)
                atomic_store_explicit(&p->cpu_clock, clock, memory_order_relaxed); /* the number is all there is */
        return 0;
}

int pager_arm(struct pager *p, struct err *e)
{
        int r = pager_register(p, e);

        if (r < 0)
                return r; /* nobody runs, and closing the uffd lets go of what was registered */
        r = start_thread(p);
        if (r < 0)
                return err_set(e, r, "pager: start its thread: %s", strerror(-r));
        p->armed = true;
        return 0;
}

static void kick(struct pager *p)
{
        (void)eventfd_write(p->kick_fd, 1); /* it fails only where enough kicks wait already */
}

/* The five commands below store relaxed: the thread takes one value each and no other memory with it; the kick makes it look. */
void pager_guest_entered(struct pager *p, uint64_t ns)
{
        atomic_store_explicit(&p->entered_ns, ns, memory_order_relaxed);
        kick(p);
}

void pager_guest_spoke(struct pager *p, uint64_t ns)
{
        atomic_store_explicit(&p->spoke_ns, ns, memory_order_relaxed);
        kick(p);
}

void pager_hurry(struct pager *p)
{
        record_end(&p->record);
        atomic_store_explicit(&p->hurried, true, memory_order_relaxed);
        kick(p);
}

void pager_end_record(struct pager *p)
{
        record_end(&p->record);
        kick(p);
}

static struct timespec in_ms(int ms)
{
        uint64_t at = now_ns() + (uint64_t)ms * NS_PER_MS;

        return (struct timespec){ .tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S) };
}

static void unregister_all(const struct pager *p)
{
        for (size_t i = 0; i < p->view.served.nr && p->in.uffd >= 0; i++) {
                const struct pager_range *range = &p->view.served.v[i];

                (void)uffd_unregister(p->in.uffd, p->c.ram + pages_to_bytes(range->first_page), pages_to_bytes(range->nr_pages));
        }
}

/* A submission may hold the thread up, in a file system that does not answer and has more requests than it takes (fuse:
 * max_background), and nobody could end a VM whose faults it leaves unanswered, not even SIGKILL: KVM's kernel workers are among
 * those who wait. The vCPUs were kicked long before the patience is over, so they see none of the zeros, and the devices of a
 * condemned VM let no byte out (virtio_fetch). */
void pager_give_up(struct pager *p)
{
        struct timespec until = in_ms(PATIENCE_MS);
        int             r = 0;

        atomic_store_explicit(&p->given_up, true, memory_order_relaxed);
        kick(p);
        if (!p->armed)
                return;
        pthread_mutex_lock(&p->lock);
        while (!p->gave_up && !p->gone && r == 0)
                r = pthread_cond_timedwait(&p->changed, &p->lock, &until);
        if (!p->gave_up) /* a thread that failed, too, leaves whoever waits where he is */
                unregister_all(p);
        pthread_mutex_unlock(&p->lock);
}

int pager_wait(struct pager *p, int timeout_ms)
{
        struct timespec until = in_ms(timeout_ms < 0 ? 0 : timeout_ms);
        int             r = 0;

        if (!p->armed)
                return -EINVAL;
        pthread_mutex_lock(&p->lock);
        while (!p->done && !p->gone && r == 0)
                r = timeout_ms < 0 ? pthread_cond_wait(&p->changed, &p->lock) : pthread_cond_timedwait(&p->changed, &p->lock, &until);
        if (p->done)
                r = atomic_load_explicit(&p->n.lost_pages, memory_order_relaxed) ? -EIO : 0; /* the lock orders it */
        else if (p->gone)
                r = p->result < 0 ? p->result : -ECANCELED;
        else
                r = -r;
        pthread_mutex_unlock(&p->lock);
        return r;
}

static uint64_t get(const _Atomic uint64_t *counter)
{
        return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t cpu_ns(const struct pager *p)
{
        struct timespec t;
        clockid_t       clock = atomic_load_explicit(&p->cpu_clock, memory_order_relaxed);

        if (atomic_load_explicit(&p->ended, memory_order_acquire)) /* pairs with end_thread */
                return get(&p->n.cpu_ns);
        if (clock == 0 || clock_gettime(clock, &t) < 0)
                return get(&p->n.cpu_ns);
        return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void pager_stats(const struct pager *p, struct pager_stats *ret)
{
        struct pager_stats s = {
                .messages        = get(&p->n.messages),
                .installed_bytes = get(&p->n.installed_bytes),
                .moved_bytes     = get(&p->n.moved_bytes),
                .read_bytes      = get(&p->n.read_bytes),
                .lost_pages      = get(&p->n.lost_pages),
                .stall_ns        = get(&p->n.stall_ns),
                .cpu_ns          = cpu_ns(p),
                .resident_pages  = get(&p->n.resident_pages),
                .cold_reads      = get(&p->n.cold_reads),
        };

        for (int c = 0; c < FAULT_CLASSES; c++)
                s.faults[c] = get(&p->n.faults[c]);
        *ret = s;
}

bool pager_find_lost(const struct pager *p, uint64_t page, struct pager_lost *ret)
{
        struct pager_lost lost;

        if (!pager_describe_lost(p, page, &lost))
                return false;
        if (ret)
                *ret = lost;
        return true;
}

void pager_unfetched(const struct pager *p, uint64_t first_page, uint64_t nr_pages, uint64_t *bits)
{
        for (size_t i = 0; i < p->view.served.nr; i++) {
                const struct pager_range *r = &p->view.served.v[i];
                uint64_t                  page = MAX(first_page, r->first_page), end = MIN(first_page + nr_pages, r->first_page + r->nr_pages);

                for (; page < end; page++)
                        if (page_state_is_unfetched(&p->states, page))
                                bits[(page - first_page) / 64] |= 1ULL << ((page - first_page) % 64);
        }
}

size_t pager_recorded(const struct pager *p, const struct pager_touch **ret)
{
        return record_get(&p->record, ret);
}

size_t pager_timeline(const struct pager *p, const struct pager_arrival **ret, uint64_t *ret_dropped_pages)
{
        return timeline_get(&p->timeline, ret, ret_dropped_pages);
}

bool pager_has(const struct pager *p, uint64_t page)
{
        enum page_state st = page_state_get(&p->states, page);

        return st == PAGE_INSTALLED || st == PAGE_REMOVED;
}

bool pager_stop(struct pager *p)
{
        struct timespec until = in_ms(PATIENCE_MS);
        int             r = 0;
        bool            lingers;

        if (!p->armed || p->joined)
                return true;
        atomic_store_explicit(&p->stop, true, memory_order_relaxed); /* the join below orders the rest */
        kick(p);
        pthread_mutex_lock(&p->lock);
        while (!p->gone && r == 0)
                r = pthread_cond_timedwait(&p->changed, &p->lock, &until);
        lingers = p->lingers;
        pthread_mutex_unlock(&p->lock);
        if (r != 0)
                return false;
        if (lingers)
                pthread_detach(p->thread);
        else
                pthread_join(p->thread, NULL);
        p->joined = true;
        return true;
}

void pager_unregister(struct pager *p)
{
        if (p->joined)
                unregister_all(p);
}

static void free_lock(struct pager *p)
{
        if (!p->has_lock)
                return;
        pthread_cond_destroy(&p->changed);
        pthread_mutex_destroy(&p->lock);
}

bool pager_free(struct pager *p)
{
        if (!p)
                return true;
        if (!pager_stop(p))
                return false;
        if (p->in.uffd >= 0)
                close(p->in.uffd);
        if (p->kick_fd >= 0)
                close(p->kick_fd);
        if (p->buf)
                munmap(p->buf, BUF_BYTES);
        free_lock(p);
        read_ring_free(p->ring);
        record_free(&p->record);
        timeline_free(&p->timeline);
        cold_free(&p->cold);
        sources_free(&p->sources);
        packed_free(&p->packed);
        page_states_free(&p->states);
        stage_free(&p->stage);
        pager_free_backing(p);
        free(p);
        return true;
}
