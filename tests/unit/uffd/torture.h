/* tests/unit/uffd/torture.h: conducts one schedule: all threads run a step, stand still, and the whole of RAM is held against the
 * model.
 * Owns:    the RAM, the model, the pager and the threads of the schedule.
 * Threads: one schedule at a time; events come on the pager's thread and are counted in atomics.
 * Blocks:  until the schedule has ended; one that hangs is ended by SIGALRM with its seed. */
#pragma once

#include "core/base/clock.h"
#include "tests/support/need.h"
#include "tests/unit/uffd/ram.h"
#include "tests/unit/uffd/torture_others.h"
#include "uffd/uffd.h"

/* What a schedule may take at most, on a host that is busy with other things, under a sanitizer. */
#define TORTURE_ALARM_S 120

/* --- what the pager tells --- */

static bool torture_on_lost(void *arg, const struct pager_lost *l)
{
        struct chamber *c = arg;

        c->told++;
        c->told_demanded += l->demanded;
        if (l->error != c->m.first_bad[l->page])
                say_wrong(c, "page %llu: lost for %d, expected %d", (unsigned long long)l->page, l->error,
                          c->m.first_bad[l->page]);
        if (l->error == -ENODATA && l->source && strcmp(l->source, "memory") != 0)
                say_wrong(c, "page %llu: lost from %s", (unsigned long long)l->page, l->source);
        /* those who may have lost pages in front of them, and no poison, end as a VM that was stopped */
        return c->condemned || c->m.first_may[l->page];
}

static void torture_on_replayed(void *arg, uint64_t ns)
{
        (void)ns;
        ((struct chamber *)arg)->replayed++;
}

static void torture_on_done(void *arg, uint64_t ns)
{
        (void)ns;
        ((struct chamber *)arg)->done++;
}

/* --- beginning and end --- */

static struct hint *torture_hints(const struct schedule *s)
{
        struct hint *v = calloc(s->nr_hints + 1, sizeof(*v));
        uint64_t     r = torture_mix(s->seed ^ 0x417), page = 0;

        for (size_t i = 0; i < s->nr_hints; i++) {
                /* stretches and jumps; some twice, some that do not exist */
                page = torture_chance(&r, 3) ? torture_random(&r, s->nr_pages + 3) : page + 1;
                v[i] = (struct hint){ .page = (uint32_t)page, .seen = 1, .phase = (uint8_t)(i * HINT_PHASES / s->nr_hints),
                                      .flags = (uint8_t)torture_random(&r, HINT_FLAGS + 1) };
        }
        return v;
}

static void torture_open(struct chamber *c, const struct schedule *s, struct hint **ret_hints)
{
        struct err e = { 0 };

        *c = (struct chamber){ .s = *s };
        memory_map(&c->mem, &c->s);
        c->ram = c->mem.ram;
        c->touched = calloc(s->nr_pages, sizeof(*c->touched));
        model_init(&c->m, &c->s);
        c->first = others_keep(c);
        memory_fill_template(&c->mem, &c->m);
        uffd_probe(&c->caps);
        c->caps.io_uring = s->ring;
        c->caps.uffd_move = c->caps.uffd_move && s->moves;
        snprintf(c->caps.thp, sizeof(c->caps.thp), "madvise");
        c->s.poison = c->caps.uffd_poison = c->caps.uffd_poison && s->poison;
        *ret_hints = torture_hints(s);
        struct pager_config config = {
                .ram = c->ram, .backing = torture_is_huge(s) ? RAM_HUGETLB : s->backing == BACK_MEMFD ? RAM_MEMFD : RAM_ANON,
                .shared = torture_is_shared(s) ? &c->mem.template : NULL, .map = &c->m.map, .served = c->m.ranges,
                .nr_served = c->m.nr_ranges, .replay = *ret_hints,
                .nr_replay = s->nr_hints, .record = s->record, .fill = s->fill, .paused = s->paused, .verify = s->verify,
                .around_pages = s->around_pages, .spare_cpu = s->looks, .source_timeout_ms = s->timeout_ms, .caps = &c->caps,
                .faults = &c->s.faults,
                .events = { .arg = c, .lost = torture_on_lost, .replayed = torture_on_replayed, .done = torture_on_done },
        };
        cr_assert_eq(pager_new(&config, &c->p, &e), 0, "%s", e.text);
        cr_assert_eq(pager_arm(c->p, &e), 0, "%s", e.text);
}

static void torture_close(struct chamber *c, struct hint *hints)
{
        struct pager_stats st;

        pager_stats(c->p, &st);
        c->moved_bytes = st.moved_bytes;
        if (!pager_free(c->p))
                say_wrong(c, "the pager's thread does not end");
        memory_free(&c->mem, &c->s);
        free((void *)c->touched);
        if (c->first)
                munmap(c->first, pages_to_bytes(c->s.nr_pages));
        model_free(&c->m);
        free(hints);
}

/* --- while all stand still --- */

static bool torture_goes_on(const struct chamber *c)
{
        return !c->is_wrong && !c->condemned;
}

static void compare_page(struct chamber *c, uint64_t page)
{
        bool sure = model_is_sure(&c->m, page), may = c->m.may[page];

        if (!sure && !may && (c->s.poison || torture_is_shared(&c->s)))
                return; /* poison counts as there on some kernels; and a template may have had a page before it was needed */
        if (!sure && !may)
                say_wrong(c, "page %llu is there, and its bytes cannot be had", (unsigned long long)page);
        else if (!sure)
                (void)check_page(c, page);
        else if (!equals_model(c, page))
                say_wrong(c, "page %llu differs from the model", (unsigned long long)page);
}

/* As a snapshot of the VM must know it: what the guest has touched or given back is not "as it was restored" any more. */
static void check_unfetched(struct chamber *c)
{
        uint64_t *bits = calloc(c->s.nr_pages / 64 + 1, sizeof(*bits));
        int       r = pager_catch_up(c->p);

        if (r < 0)
                say_wrong(c, "pager_catch_up: %s", strerror(-r));
        pager_unfetched(c->p, 0, c->s.nr_pages, bits);
        for (uint64_t page = 0; page < c->s.nr_pages && torture_goes_on(c); page++)
                if ((bits[page / 64] >> (page % 64) & 1) && (c->touched[page] || c->m.removed[page] || !c->m.served[page]))
                        say_wrong(c, "page %llu was never fetched, says the pager", (unsigned long long)page);
        free(bits);
}

/* What is there must be right; what is not is not touched, so that the pager's work is left to it. */
static void compare_resident(struct chamber *c)
{
        unsigned char *in = malloc(c->s.nr_pages);

        if (mincore(c->ram, pages_to_bytes(c->s.nr_pages), in) != 0)
                say_wrong(c, "mincore: %m");
        /* what is in a template counts as there, and is mapped when it is looked at */
        for (uint64_t page = 0; page < c->s.nr_pages && torture_goes_on(c); page++)
                if (in[page] & 1)
                        compare_page(c, page);
        free(in);
}

static void compare_all(struct chamber *c)
{
        for (uint64_t page = 0; page < c->s.nr_pages && torture_goes_on(c); page++)
                (void)check_page(c, page);
}

/* --- the end where every page is resident or lost --- */

struct torture_counts {
        uint64_t served, removed, lost, may_be_lost;
};

static struct torture_counts torture_count(const struct chamber *c)
{
        struct torture_counts n = { 0 };

        for (uint64_t page = 0; page < c->s.nr_pages; page++) {
                n.served += c->m.served[page];
                n.removed += c->m.served[page] && c->m.removed[page];
                n.lost += c->m.bad[page] && !c->m.may[page];
                n.may_be_lost += c->m.may[page];
        }
        return n;
}

/* May the pager have been done before the guest gave back the last of its pages? It hears no more of those. */
static bool may_be_done(const struct chamber *c)
{
        struct torture_counts n = torture_count(c);
        struct pager_stats    st;

        pager_stats(c->p, &st);
        return st.resident_pages + n.removed + n.lost + n.may_be_lost >= n.served;
}

static void check_lost_by_name(struct chamber *c, bool early)
{
        for (uint64_t page = 0; page < c->s.nr_pages; page++) {
                bool lost = pager_find_lost(c->p, page, NULL);

                if (lost && c->m.removed[page] && early)
                        continue;
                if (!c->m.may[page] && lost != (c->m.bad[page] != 0))
                        say_wrong(c, "page %llu is %slost", (unsigned long long)page, lost ? "" : "not ");
                else if (lost && !is_lost_rightly(c, page))
                        say_wrong(c, "page %llu is lost for another reason than it should be", (unsigned long long)page);
        }
}

static void check_numbers(struct chamber *c, int ended, bool early)
{
        struct torture_counts n = torture_count(c);
        struct pager_stats    st;
        uint64_t              expected = n.served - n.removed - n.lost;

        pager_stats(c->p, &st);
        if (st.resident_pages > (early ? n.served : expected) || st.resident_pages + n.may_be_lost < expected)
                say_wrong(c, "resident: expected %llu, found %llu", (unsigned long long)expected,
                          (unsigned long long)st.resident_pages);
        if (st.lost_pages < n.lost || (ended == -EIO) != (st.lost_pages > 0))
                say_wrong(c, "lost: expected %llu at least, found %llu, and pager_wait says %d", (unsigned long long)n.lost,
                          (unsigned long long)st.lost_pages, ended);
        if (c->told < st.lost_pages || c->told > 2 * st.lost_pages)
                say_wrong(c, "lost: %llu pages, told %u times", (unsigned long long)st.lost_pages, c->told);
        if (c->done != 1)
                say_wrong(c, "done was told %u times", c->done);
        if (c->replayed != (c->s.nr_hints > 0 && !c->s.record))
                say_wrong(c, "replayed was told %u times", c->replayed);
}

static void *touch_one(void *arg)
{
        struct guest *g = arg;

        (void)touch(g->c, g->r);
        return NULL;
}

/* Without poison, whoever touches a lost page waits until the VM is given up. */
static void end_with_one_who_waits(struct chamber *c)
{
        struct guest g = { .c = c };
        unsigned     told = c->told_demanded;

        while (g.r < c->s.nr_pages && (!c->m.bad[g.r] || c->m.may[g.r]))
                g.r++;
        if (g.r == c->s.nr_pages || c->s.poison || !torture_goes_on(c))
                return;
        pthread_create(&g.thread, NULL, touch_one, &g);
        while (c->told_demanded == told)
                usleep(100); /* the alarm ends it */
        compare_resident(c);
        c->condemned = true;
        pager_give_up(c->p);
        pthread_join(g.thread, NULL);
}

static void end_done(struct chamber *c)
{
        bool early = may_be_done(c);
        int  r;

        if (c->s.hushes)
                silent_file_speak(&c->m.silent);
        pager_hurry(c->p);
        r = pager_wait(c->p, TORTURE_ALARM_S * 1000);
        if (r != 0 && r != -EIO)
                say_wrong(c, "pager_wait: %d", r);
        if (!torture_goes_on(c))
                return;
        compare_resident(c);
        check_lost_by_name(c, early);
        check_numbers(c, r, early);
        compare_all(c);
        end_with_one_who_waits(c);
}

/* --- steps --- */

/* What a session tells its pager, at moments of its own. */
static void command(struct chamber *c, uint64_t *r)
{
        switch (torture_random(r, 10)) {
        case 0:
                pager_guest_entered(c->p, now_ns());
                break;
        case 1:
                pager_guest_spoke(c->p, now_ns());
                break;
        case 2:
                if (c->s.hurries)
                        pager_hurry(c->p);
                break;
        case 3:
                pager_end_record(c->p);
                break;
        default:
                break;
        }
}

static void hush_a_while(struct chamber *c, uint64_t *r)
{
        if (!c->s.hushes || torture_chance(r, 3))
                return;
        silent_file_hush(&c->m.silent);
        usleep((useconds_t)torture_random(r, 12000));
        silent_file_speak(&c->m.silent);
}

static void run_step(struct chamber *c, uint64_t *r)
{
        c->stirring = true;
        pthread_barrier_wait(&c->begin);
        command(c, r);
        usleep((useconds_t)torture_random(r, 1500));
        if (c->s.moves && c->s.hurries)
                pager_hurry(c->p); /* so that the fill meets the guest, too, and not only what the guest left */
        command(c, r);
        hush_a_while(c, r);
        if (c->step == 0 && c->s.cut_late)
                model_cut(&c->m);
        if (c->s.end == END_GIVEN_UP && c->step == c->s.end_after_step) {
                c->condemned = true;
                pager_give_up(c->p);
        }
        c->stirring = false;
        pthread_barrier_wait(&c->end);
        if (torture_goes_on(c))
                check_unfetched(c);
        if (torture_goes_on(c))
                compare_resident(c);
}

static void run_steps(struct chamber *c)
{
        uint64_t r = torture_mix(c->s.seed ^ 0x57e9);

        for (c->step = 0; c->step < c->s.steps && torture_goes_on(c); c->step++) {
                run_step(c, &r);
                if (c->s.end == END_STOPPED && c->step == c->s.end_after_step) {
                        if (!pager_stop(c->p))
                                say_wrong(c, "the pager's thread does not end");
                        if (!c->s.others) /* what they have put into the template since nobody maps any more */
                                compare_resident(c);
                        return;
                }
        }
        if (c->s.end == END_DONE && torture_goes_on(c))
                end_done(c);
}

static void run_threads(struct chamber *c)
{
        struct guest g[TORTURE_THREADS_MAX + 2], others[TORTURE_OTHERS_MAX] = { { 0 } };
        unsigned     nr = 0;

        pthread_barrier_init(&c->begin, NULL, c->s.threads + c->s.churns + c->s.asks + 1);
        pthread_barrier_init(&c->end, NULL, c->s.threads + c->s.churns + c->s.asks + 1);
        for (; nr < c->s.threads + c->s.churns + c->s.asks; nr++) {
                bool churn = nr == c->s.threads && c->s.churns, ask = nr >= c->s.threads && !churn;

                g[nr] = (struct guest){ .c = c, .nr = churn ? OWNER_CHURN : nr, .r = nr };
                cr_assert_eq(pthread_create(&g[nr].thread, NULL, ask ? ask_main : churn ? churn_main : guest_main, &g[nr]), 0);
        }
        others_begin(c, others);
        run_steps(c);
        c->over = true;
        pthread_barrier_wait(&c->begin);
        others_end(c, others);
        while (nr > 0)
                pthread_join(g[--nr].thread, NULL);
        pthread_barrier_destroy(&c->begin);
        pthread_barrier_destroy(&c->end);
}

/* --- one schedule, and many --- */

/* What the pager was seen to do: a schedule that no more leads to what it was drawn for is found out. */
struct torture_seen {
        bool     whole;      /* all schedules of the family ran, not some that were asked for */
        unsigned moves;      /* schedules in which pages came by UFFDIO_MOVE */
        unsigned may_move;   /* and those in which they might */
};

static void on_alarm(int sig)
{
        (void)sig;
        (void)!write(STDERR_FILENO, torture_text, strlen(torture_text));
        abort();
}

static void torture_run(const struct schedule *s, struct torture_seen *seen)
{
        struct chamber *c = malloc(sizeof(*c));
        struct hint    *hints;
        size_t          at = (size_t)snprintf(torture_text, sizeof(torture_text), "torture: it hangs, or died of SIGBUS: ");

        torture_tell(s, torture_text + at, sizeof(torture_text) - at - 1);
        torture_text[strlen(torture_text) + 1] = 0; /* the room that was left */
        torture_text[strlen(torture_text)] = '\n';
        alarm(TORTURE_ALARM_S);
        torture_open(c, s, &hints);
        run_threads(c);
        torture_close(c, hints);
        alarm(0);
        cr_assert(!c->is_wrong, "%s\n%s\nROUSE_TORTURE_SEED=%llu runs this one again", c->wrong, torture_text + at,
                  (unsigned long long)s->seed);
        seen->moves += c->moved_bytes > 0;
        seen->may_move += c->caps.uffd_move;
        free(c);
}

static unsigned long long torture_number(const char *name, unsigned long long otherwise)
{
        const char *v = getenv(name);

        return v && *v ? strtoull(v, NULL, 0) : otherwise;
}

/* `quick` schedules in make check, `full` in make check-full; ROUSE_TORTURE_N: so many, ROUSE_TORTURE_SEED: this one, or from it
 * on. */
static struct torture_seen torture(enum torture_family family, unsigned quick, unsigned full)
{
        struct torture_seen seen = { .whole = !getenv("ROUSE_TORTURE_SEED") && !getenv("ROUSE_TORTURE_N") };
        bool               has_seed = getenv("ROUSE_TORTURE_SEED") != NULL;
        unsigned long long first = torture_number("ROUSE_TORTURE_SEED", 1);
        unsigned long long nr = torture_number("ROUSE_TORTURE_N", has_seed ? 1 : getenv("ROUSE_FULL") ? full : quick);

        need_uffd();
        sigaction(SIGBUS, &(struct sigaction){ .sa_handler = on_sigbus, .sa_flags = SA_NODEFER }, NULL);
        signal(SIGALRM, on_alarm);
        for (unsigned long long i = 0; i < nr; i++) {
                struct schedule s = torture_draw(family, first + i);

                torture_run(&s, &seen);
        }
        return seen;
}
