/* tests/unit/uffd/torture_guest.h: the threads that use the RAM of a schedule, and hold each page that they see against the
 * model.
 * Owns:    nothing; borrows the chamber.
 * Threads: each guest its own; a page belongs to one of them, to all (then nobody changes it) or to the churner, anew in each
 *          step.
 * Blocks:  where the pager lets a fault wait.
 *
 *   RAM of one step   | 0 0 | 2 2 | all | 1 1 | churn | 0 0 | ...      blocks, drawn from seed and step */
#pragma once

#include "tests/unit/uffd/torture_memory.h"
#include "uffd/pager.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>

struct chamber {
        struct schedule   s;
        struct model      m;
        struct memory     mem;
        uint8_t          *ram; /* mem.ram */
        atomic_bool      *touched; /* a page each */
        struct host_caps  caps;
        struct pager     *p;
        uint64_t          moved_bytes; /* at the end */
        uint8_t          *first;     /* RAM as the snapshot has it; NULL: nobody asks */
        unsigned          step;      /* changed while all stand still */
        pthread_barrier_t begin, end; /* of a step */
        atomic_bool       over, stirring, condemned;
        atomic_uint       replayed, done, told, told_demanded;
        _Atomic int       is_wrong; /* the first who finds something wrong says it */
        char              wrong[200];
};

struct guest {
        struct chamber *c;
        unsigned        nr;
        uint64_t        r;
        pthread_t       thread;
};

#define OWNER_ALL   TORTURE_THREADS_MAX
#define OWNER_CHURN (TORTURE_THREADS_MAX + 1)
#define OWNER_NONE  (TORTURE_THREADS_MAX + 2) /* left alone in this step */

static unsigned owner_of(const struct chamber *c, uint64_t page)
{
        uint64_t block = page / c->s.block_pages, of_seed = torture_mix(c->s.seed ^ block << 8);
        unsigned nr = (unsigned)(torture_mix(of_seed + c->step + 1) % (c->s.threads + 1));

        if (c->step < torture_left_alone(&c->s, page))
                return OWNER_NONE;
        if (c->s.churns && of_seed % 8 == 0)
                return OWNER_CHURN;
        return nr == c->s.threads ? OWNER_ALL : nr;
}

__attribute__((format(printf, 2, 3))) static void say_wrong(struct chamber *c, const char *fmt, ...)
{
        va_list ap;

        if (c->condemned || atomic_exchange(&c->is_wrong, 1))
                return; /* what a condemned VM sees is nobody's business */
        va_start(ap, fmt);
        vsnprintf(c->wrong, sizeof(c->wrong), fmt, ap);
        va_end(ap);
}

/* For signal handlers, which have no other way. */
static char                     torture_text[1200];
static _Thread_local sigjmp_buf touch_back;
static _Thread_local atomic_bool touching; /* atomic: a plain one is a dead store to gcc under ThreadSanitizer, fence or not */

static void on_sigbus(int sig)
{
        if (touching)
                siglongjmp(touch_back, sig);
        (void)!write(STDERR_FILENO, torture_text, strlen(torture_text));
        abort();
}

/* False: SIGBUS (ThreadSanitizer's handler blocks all signals, so the jump takes the mask along). What was touched stays there
 * until it is given back, so that what follows needs no such care. */
static bool touch(const struct chamber *c, uint64_t page)
{
        if (sigsetjmp(touch_back, 1) != 0) {
                atomic_store_explicit(&touching, false, memory_order_relaxed);
                return false;
        }
        atomic_store_explicit(&c->touched[page], true, memory_order_relaxed); /* read while all stand still */
        atomic_store_explicit(&touching, true, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst); /* the handler runs on this thread */
        (void)*(volatile uint8_t *)(c->ram + pages_to_bytes(page));
        atomic_signal_fence(memory_order_seq_cst);
        atomic_store_explicit(&touching, false, memory_order_relaxed);
        return true;
}

/* The same with a first touch that may be a write. */
static bool put_byte(const struct chamber *c, uint64_t at_bytes, uint8_t value)
{
        if (sigsetjmp(touch_back, 1) != 0) {
                atomic_store_explicit(&touching, false, memory_order_relaxed);
                return false;
        }
        atomic_store_explicit(&c->touched[bytes_to_pages(at_bytes)], true, memory_order_relaxed);
        atomic_store_explicit(&touching, true, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
        *(volatile uint8_t *)(c->ram + at_bytes) = value;
        atomic_signal_fence(memory_order_seq_cst);
        atomic_store_explicit(&touching, false, memory_order_relaxed);
        return true;
}

/* Was the page declared lost for the reason that the model knows? */
static bool is_lost_rightly(const struct chamber *c, uint64_t page)
{
        struct pager_lost l;

        return pager_find_lost(c->p, page, &l) && l.page == page && l.error == c->m.first_bad[page];
}

static bool equals_model(const struct chamber *c, uint64_t page)
{
        return memcmp(c->ram + pages_to_bytes(page), model_page(&c->m, page), PAGE_BYTES) == 0;
}

/* Touches the page and looks whether it shows what it must. True: it has its bytes. */
static bool check_page(struct chamber *c, uint64_t page)
{
        bool sure = model_is_sure(&c->m, page);

        if (!sure && !c->m.may[page] && !c->s.poison)
                return false; /* whoever touched it would wait for ever: the end of the schedule does */
        if (!touch(c, page)) {
                if (sure)
                        say_wrong(c, "page %llu: SIGBUS, and it is not lost", (unsigned long long)page);
                else if (!is_lost_rightly(c, page))
                        say_wrong(c, "page %llu: SIGBUS, and the pager does not say why", (unsigned long long)page);
                return false;
        }
        if (!sure && is_lost_rightly(c, page) && !c->s.poison)
                return false; /* zeros that a VM which goes on would not see */
        if (!sure && !c->m.may[page])
                say_wrong(c, "page %llu: it reads as something, and its bytes cannot be had", (unsigned long long)page);
        else if (!equals_model(c, page))
                say_wrong(c, "page %llu differs from the model", (unsigned long long)page);
        else
                return true;
        return false;
}

static void write_page(struct guest *g, uint64_t page)
{
        struct chamber *c = g->c;
        uint64_t        at = pages_to_bytes(page) + torture_random(&g->r, PAGE_BYTES);

        if (!model_is_sure(&c->m, page) && !check_page(c, page))
                return;
        c->m.want[at] = (uint8_t)torture_random(&g->r, 256);
        if (!put_byte(c, at, c->m.want[at]))
                say_wrong(c, "page %llu: SIGBUS at a write, and it is not lost", (unsigned long long)page);
}

static void note_removed(struct chamber *c, uint64_t page)
{
        memset(c->m.want + pages_to_bytes(page), 0, PAGE_BYTES);
        c->m.bad[page] = 0;
        c->m.may[page] = false;
        c->m.removed[page] = true;
}

/* Where a file is behind RAM, poison stays when the page is given back: its VM has ended by then, and no model is needed of
 * that. */
static bool may_discard(const struct guest *g, uint64_t page)
{
        const struct chamber *c = g->c;

        return page < c->s.nr_pages && owner_of(c, page) == g->nr &&
               (c->s.backing == BACK_ANON || !c->s.poison || model_is_sure(&c->m, page));
}

/* A part of a page of 2 MiB cannot be given back: it is written, and the pager hears nothing of it. */
static void write_zeros(struct guest *g, uint64_t page, uint64_t end)
{
        struct chamber *c = g->c;

        for (; page < end; page++) {
                if (!touch(c, page)) {
                        say_wrong(c, "page %llu: SIGBUS where zeros are written, and it is not lost", (unsigned long long)page);
                        return;
                }
                memset(c->ram + pages_to_bytes(page), 0, PAGE_BYTES);
                memset(c->m.want + pages_to_bytes(page), 0, PAGE_BYTES);
        }
}

static void discard_whole(struct guest *g, uint64_t page, uint64_t end)
{
        struct chamber *c = g->c;
        int             r = page < end ? memory_discard(&c->mem, &c->s, page, end - page) : 0;

        if (r < 0)
                say_wrong(c, "page %llu: to give it back: %s", (unsigned long long)page, strerror(-r));
        for (; page < end; page++)
                note_removed(c, page);
}

/* Gives back as much as is its own from page on. */
static void discard_pages(struct guest *g, uint64_t page, uint64_t nr)
{
        uint64_t end = page, unit = torture_unit(&g->c->s), low, high;

        while (end - page < nr && may_discard(g, end))
                end++;
        low = MIN(align_up(page, unit), end);
        high = MAX(end / unit * unit, low);
        write_zeros(g, page, low);
        discard_whole(g, low, high);
        write_zeros(g, high, end);
}

/* A page that this guest may read; *ret_own: and change. */
static bool pick_page(struct guest *g, uint64_t *ret_page, bool *ret_own)
{
        for (int tries = 0; tries < 16; tries++) {
                uint64_t page = torture_random(&g->r, g->c->s.nr_pages);
                unsigned owner = owner_of(g->c, page);

                if (owner != g->nr && owner != OWNER_ALL)
                        continue;
                *ret_page = page;
                *ret_own = owner == g->nr;
                return true;
        }
        return false;
}

static void guest_op(struct guest *g)
{
        uint64_t page, what = torture_random(&g->r, 24);
        bool     own;

        if (!pick_page(g, &page, &own))
                return;
        if (!own || what >= 8) {
                (void)check_page(g->c, page);
        } else if (what >= 2) {
                write_page(g, page);
        } else {
                discard_pages(g, page, torture_size(&g->r, 256) + (torture_is_huge(&g->c->s) ? torture_random(&g->r, 1024) : 0));
                if (what == 0)
                        write_page(g, page);
                else
                        (void)check_page(g->c, page);
        }
}

static void *guest_main(void *arg)
{
        struct guest   *g = arg;
        struct chamber *c = g->c;

        for (;;) {
                pthread_barrier_wait(&c->begin);
                if (c->over)
                        return NULL;
                g->r = torture_mix(c->s.seed ^ (uint64_t)g->nr << 40 ^ (uint64_t)c->step << 48);
                for (unsigned i = 0; i < c->s.ops && !c->is_wrong && !c->condemned; i++)
                        guest_op(g);
                pthread_barrier_wait(&c->end);
        }
}

/* Gives memory back all the time: while such a madvise is under way, UFFDIO_COPY says EAGAIN. */
static void *churn_main(void *arg)
{
        struct guest   *g = arg;
        struct chamber *c = g->c;

        for (;;) {
                pthread_barrier_wait(&c->begin);
                if (c->over)
                        return NULL;
                g->r = torture_mix(c->s.seed ^ 0xc4 ^ (uint64_t)c->step << 48);
                while (c->stirring) {
                        uint64_t page = torture_random(&g->r, c->s.nr_pages);

                        if (owner_of(c, page) == OWNER_CHURN)
                                discard_pages(g, page, torture_size(&g->r, 64));
                        else
                                sched_yield();
                }
                pthread_barrier_wait(&c->end);
        }
}

/* Asks as a snapshot or a monitor would: what it hears must make sense at any moment. */
static void ask_once(struct guest *g)
{
        struct chamber    *c = g->c;
        struct pager_lost  l;
        struct pager_stats n;
        uint64_t           page = torture_random(&g->r, c->s.nr_pages + 5);

        pager_stats(c->p, &n);
        if (n.resident_pages > c->s.nr_pages || n.installed_bytes > pages_to_bytes(c->s.nr_pages) || n.lost_pages > c->s.nr_pages)
                say_wrong(c, "numbers: more pages than there are");
        if (pager_find_lost(c->p, page, &l) && (l.page != page || l.error != c->m.first_bad[page]))
                say_wrong(c, "page %llu: lost for %d, expected %d", (unsigned long long)page, l.error, c->m.first_bad[page]);
}

static void *ask_main(void *arg)
{
        struct guest   *g = arg;
        struct chamber *c = g->c;

        for (;;) {
                pthread_barrier_wait(&c->begin);
                if (c->over)
                        return NULL;
                while (c->stirring) {
                        ask_once(g);
                        usleep(100);
                }
                pthread_barrier_wait(&c->end);
        }
}
