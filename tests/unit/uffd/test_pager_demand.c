/* A guest that touches gets the snapshot's bytes, and nothing else is brought in for it. */
#include "tests/unit/uffd/rig.h"
#include "uffd/demand.h"
#include "uffd/read_ring.h"

#include <pthread.h>

Test(pager_demand, every_touched_page_has_the_bytes_of_the_file)
{
        struct rig *g = rig_new(512, RIG_TMPFS);

        rig_start(g);
        rig_assert_all_equal(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_demand, a_cached_file_on_disk_is_never_read_slowly)
{
        struct rig *g = rig_new(512, RIG_DISK);

        rig_start(g);
        rig_assert_all_equal(g);
        cr_assert_eq(rig_stats(g).cold_reads, 0);
        rig_free(g);
}

Test(pager_demand, a_file_that_is_not_cached_goes_through_the_ring)
{
        struct rig *g = rig_new(512, RIG_DISK);

        rig_evict(g);
        rig_start(g);
        rig_assert_all_equal(g);
        cr_assert_gt(rig_stats(g).cold_reads, 0);
        rig_free(g);
}

Test(pager_demand, without_io_uring_cold_pages_are_read_plainly)
{
        struct rig *g = rig_new(512, RIG_DISK);

        g->caps.io_uring = false;
        rig_evict(g);
        rig_start(g);
        rig_assert_all_equal(g);
        cr_assert_gt(rig_stats(g).cold_reads, 0);
        rig_free(g);
}

Test(pager_demand, one_fault_brings_one_page_and_is_counted_once)
{
        struct rig        *g = rig_new(64, RIG_TMPFS);
        struct pager_stats s;

        rig_start(g);
        rig_touch(g, 5);
        rig_await(rig_stats(g).stall_ns > 0);
        s = rig_stats(g);
        cr_assert_eq(s.faults[FAULT_DEMAND], 1);
        cr_assert_eq(s.messages, 1);
        cr_assert_eq(s.resident_pages, 1);
        cr_assert_eq(s.installed_bytes, PAGE_BYTES);
        cr_assert_eq(s.read_bytes, PAGE_BYTES);
        cr_assert(!rig_is_resident(g, 4) && !rig_is_resident(g, 6));
        rig_free(g);
}

Test(pager_demand, faults_in_sequence_bring_more_and_more_of_what_is_cached)
{
        static const uint64_t touches[] = { 20, 21, 23, 27 }; /* windows of 1, 2, 4 and 8: up to page 35 */
        struct rig           *g = rig_new(64, RIG_TMPFS);
        struct pager_stats    s;

        g->c.around_pages = 8;
        g->map.zeros_known = true;
        rig_start(g);
        for (size_t i = 0; i < ARRAY_LEN(touches); i++)
                rig_touch(g, touches[i]);
        rig_await(rig_stats(g).resident_pages == 15);
        for (uint64_t page = 0; page < 64; page++)
                cr_assert_eq(rig_is_resident(g, page), page >= 20 && page < 35, "page %llu", (unsigned long long)page);
        s = rig_stats(g);
        cr_assert_eq(s.faults[FAULT_DEMAND], 4);
        cr_assert_eq(s.faults[FAULT_AROUND], 11);
        rig_free(g);
}

Test(pager_demand, faults_far_from_one_another_bring_a_page_each)
{
        struct rig *g = rig_new(256, RIG_TMPFS);

        g->c.around_pages = 16;
        rig_start(g);
        for (uint64_t page = 0; page < 256; page += 16)
                rig_touch(g, page);
        rig_await(rig_stats(g).resident_pages == 16);
        cr_assert_eq(rig_stats(g).messages, 16);
        rig_free(g);
}

Test(pager_demand, the_window_stops_at_the_run)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        g->c.around_pages = 16;
        rig_cut_zero_run(g, 24, 16);
        rig_start(g);
        for (uint64_t page = 20; page <= 23; page++)
                rig_touch(g, page);
        rig_await(rig_stats(g).resident_pages == 4);
        cr_assert(rig_is_resident(g, 23) && !rig_is_resident(g, 24));
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_demand, zero_pages_are_found_by_content_and_never_copied)
{
        struct rig        *g = rig_new(70, RIG_TMPFS);
        struct pager_stats s;

        rig_start(g);
        rig_assert_all_equal(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        s = rig_stats(g);
        cr_assert_eq(s.faults[FAULT_ZERO], 10);
        cr_assert_eq(s.installed_bytes, pages_to_bytes(60));
        rig_free(g);
}

Test(pager_demand, a_zero_run_is_answered_without_a_read)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_cut_zero_run(g, 16, 32);
        rig_start(g);
        cr_assert(rig_page_equal(g, 20));
        rig_await(rig_stats(g).faults[FAULT_ZERO] == 1);
        cr_assert_eq(rig_stats(g).read_bytes, 0);
        rig_free(g);
}

Test(pager_demand, pages_outside_the_served_ranges_are_the_kernels)
{
        struct rig              *g = rig_new(64, RIG_TMPFS);
        const struct pager_range two[] = { { 8, 8 }, { 32, 16 } };

        g->c.served = two;
        g->c.nr_served = 2;
        rig_start(g);
        for (uint64_t page = 0; page < 64; page++) {
                bool in = (page >= 8 && page < 16) || (page >= 32 && page < 48);

                cr_assert_eq(rig_touch(g, page), in ? g->model[pages_to_bytes(page)] : 0);
        }
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        cr_assert_eq(rig_stats(g).resident_pages, 24);
        rig_free(g);
}

struct racer {
        struct rig        *g;
        pthread_barrier_t *start;
        bool               equal;
};

static void *race(void *arg)
{
        struct racer *r = arg;

        r->equal = true;
        for (uint64_t page = 0; page < r->g->nr_pages; page++) {
                pthread_barrier_wait(r->start);
                r->equal = r->equal && rig_page_equal(r->g, page);
        }
        return NULL;
}

/* Six threads meet at each page of a RAM of 128; all must go on and see its bytes. */
static void race_on_every_page(struct rig *g)
{
        enum { RACERS = 6 };
        pthread_barrier_t start;
        pthread_t         t[RACERS];
        struct racer      r[RACERS];

        pthread_barrier_init(&start, NULL, RACERS);
        for (int i = 0; i < RACERS; i++) {
                r[i] = (struct racer){ .g = g, .start = &start };
                cr_assert_eq(pthread_create(&t[i], NULL, race, &r[i]), 0);
        }
        for (int i = 0; i < RACERS; i++) {
                pthread_join(t[i], NULL);
                cr_assert(r[i].equal);
        }
        pthread_barrier_destroy(&start);
}

Test(pager_demand, several_threads_on_one_page_all_go_on_with_its_bytes)
{
        struct rig *g = rig_new(128, RIG_TMPFS);

        rig_start(g);
        race_on_every_page(g);
        rig_await(rig_stats(g).resident_pages == 128);
        rig_free(g);
}

Test(pager_demand, several_faults_on_one_cold_page_cause_one_read)
{
        struct rig *g = rig_new(128, RIG_TMPFS);

        g->faults.nothing_cached = true;
        rig_start(g);
        race_on_every_page(g);
        cr_assert_eq(rig_stats(g).cold_reads, 128);
        cr_assert_eq(rig_stats(g).read_bytes, pages_to_bytes(128));
        rig_free(g);
}

enum { SILENT = READ_SLOTS, CROWD = SILENT + DEMAND_MAX + 100 };

struct crowd {
        struct rig *g;
        pthread_t   id[CROWD];
        atomic_uint nr_equal;
        size_t      nr;
};

struct one_of_crowd {
        struct crowd *c;
        uint64_t      page;
};

static void *touch_one(void *arg)
{
        struct one_of_crowd one = *(struct one_of_crowd *)arg;

        free(arg);
        one.c->nr_equal += rig_page_equal(one.c->g, one.page);
        return NULL;
}

static void join_crowd(struct crowd *c, uint64_t page)
{
        struct one_of_crowd *one = malloc(sizeof(*one));
        pthread_attr_t       small;

        *one = (struct one_of_crowd){ .c = c, .page = page };
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 256 * KIB);
        cr_assert_eq(pthread_create(&c->id[c->nr++], &small, touch_one, one), 0);
        pthread_attr_destroy(&small);
}

/* Every slot of the ring is kept busy by a page of zeros that does not come; then more threads fault than the list of demand
 * holds. */
Test(pager_demand, more_waiting_faults_than_there_is_room_for_are_all_answered)
{
        static const uint8_t zeros[PAGE_BYTES];
        struct rig          *g = rig_new(2048, RIG_TMPFS);
        struct crowd        *c = calloc(1, sizeof(*c));
        int                  pipe_fds[2];

        cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
        c->g = g;
        g->faults = (struct pager_faults){ .nothing_cached = true, .silent_read = 1, .silent_reads = SILENT,
                                           .silent_fd = pipe_fds[0] };
        /* a host that is busy otherwise, under a sanitizer, takes long to make so many threads */
        g->c.source_timeout_ms = 120000;
        rig_start(g);
        for (uint64_t page = 3; c->nr < SILENT; page += 7)
                join_crowd(c, page); /* a zero page */
        rig_await(rig_stats(g).cold_reads == SILENT);
        for (uint64_t page = 0; c->nr < CROWD; page++)
                if (!rig_page_is_zero(page))
                        join_crowd(c, page);
        rig_await(rig_stats(g).messages == CROWD);
        cr_assert_eq(c->nr_equal, 0);
        for (int i = 0; i < SILENT; i++)
                cr_assert_eq(write(pipe_fds[1], zeros, PAGE_BYTES), (ssize_t)PAGE_BYTES);
        for (size_t i = 0; i < c->nr; i++)
                pthread_join(c->id[i], NULL);
        cr_assert_eq(c->nr_equal, CROWD);
        rig_free(g);
        free(c);
}

Test(pager_demand, a_short_copy_and_eagain_without_an_event_are_survived)
{
        struct rig *g = rig_new(256, RIG_TMPFS);

        g->c.around_pages = 16;
        g->map.zeros_known = true;
        g->faults.eagain_copy = 3;
        g->faults.short_copy = 2;
        rig_start(g);
        rig_assert_all_equal(g);
        cr_assert_eq(rig_stats(g).lost_pages, 0);
        rig_free(g);
}

Test(pager_demand, a_read_that_comes_back_short_is_gone_on_with)
{
        struct rig *g = rig_new(256, RIG_TMPFS);

        g->c.around_pages = 16;
        g->faults.short_read = 2;
        rig_start(g);
        rig_assert_all_equal(g);
        cr_assert_eq(rig_stats(g).lost_pages, 0);
        rig_free(g);
}

Test(pager_demand, a_stopped_pager_leaves_absent_pages_absent)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_start(g);
        rig_touch(g, 1);
        pager_stop(g->p);
        pager_stop(g->p);
        cr_assert_eq(pager_wait(g->p, -1), -ECANCELED);
        cr_assert(!rig_is_resident(g, 2));
        cr_assert(!rig_has_pager_thread());
        rig_free(g);
}

Test(pager_demand, a_pager_that_waits_for_a_silent_source_sleeps)
{
        struct rig *g = rig_new(64, RIG_TMPFS);
        uint64_t    hint = 2, before_ns;
        int         pipe_fds[2];

        cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
        g->faults = (struct pager_faults){ .nothing_cached = true, .silent_read = 1, .silent_reads = 1,
                                           .silent_fd = pipe_fds[0] };
        rig_replay(g, &hint, 1);
        rig_start(g);
        rig_await(rig_stats(g).cold_reads == 1);
        rig_sleep_ms(20);
        before_ns = rig_stats(g).cpu_ns;
        rig_sleep_ms(200);
        cr_assert_gt(before_ns, 0);
        cr_assert_lt(rig_stats(g).cpu_ns - before_ns, 5 * NS_PER_MS);
        rig_free(g);
}

Test(pager_demand, a_wait_that_is_not_met_times_out)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 20), -ETIMEDOUT);
        rig_free(g);
}

Test(pager_demand, without_permission_the_command_that_mends_it_is_named)
{
        struct rig *g = rig_new(64, RIG_TMPFS);
        struct err  e = { 0 };

        g->caps.uffd_way = UFFD_WAY_NONE;
        cr_assert_eq(pager_new(&g->c, &g->p, &e), -EPERM);
        cr_assert_eq(e.kind, ERR_HOST);
        cr_assert(strstr(e.text, "setfacl"), "%s", e.text);
        rig_free(g);
}

Test(pager_demand, ranges_that_are_out_of_order_are_refused)
{
        struct rig              *g = rig_new(64, RIG_TMPFS);
        const struct pager_range two[] = { { 32, 8 }, { 8, 8 } };
        struct err               e = { 0 };

        g->c.served = two;
        g->c.nr_served = 2;
        cr_assert_eq(pager_new(&g->c, &g->p, &e), -EINVAL);
        rig_free(g);
}
