/* tests/unit/uffd/torture_others.h: VMs beside the one that the chamber is about, on the same template: each with RAM, a view and
 * a pager of its own, and one guest, who reads and writes. They come, go half-way or when all is there, and come again.
 * Owns:    what they map; the bits of the template are the chamber's.
 * Threads: one each; they know nothing of steps.
 * Blocks:  where a pager lets a fault wait. */
#pragma once

#include "core/base/clock.h"
#include "tests/unit/uffd/torture_guest.h"

#define OTHER_OPS      200
#define OTHER_PATIENCE 60000

struct other {
        struct chamber     *c;
        void               *room;
        uint8_t            *ram, *want; /* want: what its guest must see */
        struct shared_pages view;
        struct host_caps    caps;
        struct pager       *p;
};

/* ThreadSanitizer does not see liburing unmap a ring, and takes the next one at that address for the same. */
#ifdef __SANITIZE_THREAD__
#define OTHERS_HAVE_RINGS false
#else
#define OTHERS_HAVE_RINGS true
#endif

/* RAM as it was restored: `want` of the model goes on. */
static uint8_t *others_keep(const struct chamber *c)
{
        uint64_t bytes = pages_to_bytes(c->s.nr_pages);
        uint8_t *first = c->s.others ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;

        cr_assert(first != MAP_FAILED);
        if (first)
                memcpy(first, c->m.want, bytes);
        return first;
}

static bool other_lost(void *arg, const struct pager_lost *l)
{
        say_wrong(arg, "another VM: page %llu is lost for %d", (unsigned long long)l->page, l->error);
        return true;
}

static void other_open(struct other *o, struct chamber *c, uint64_t r)
{
        uint64_t     bytes = pages_to_bytes(c->s.nr_pages);
        struct err   e = { 0 };

        *o = (struct other){ .c = c, .view = memory_view(&c->s, c->mem.fd, c->mem.template.bits), .want = malloc(bytes) };
        o->ram = memory_map_file(&c->s, c->mem.fd, &o->room);
        memcpy(o->want, c->first, bytes);
        o->caps = c->caps;
        o->caps.io_uring = c->caps.io_uring && OTHERS_HAVE_RINGS;
        struct pager_config config = {
                .ram = o->ram, .backing = torture_is_huge(&c->s) ? RAM_HUGETLB : RAM_ANON, .shared = &o->view, .map = &c->m.map,
                .served = c->m.ranges,
                .nr_served = c->m.nr_ranges, .fill = torture_chance(&r, 2), .paused = torture_chance(&r, 2),
                .verify = c->s.verify,
                .around_pages = c->s.around_pages, .source_timeout_ms = c->s.timeout_ms, .caps = &o->caps, .faults = &c->s.faults,
                .events = { .arg = c, .lost = other_lost },
        };
        cr_assert_eq(pager_new(&config, &o->p, &e), 0, "%s", e.text);
        cr_assert_eq(pager_arm(o->p, &e), 0, "%s", e.text);
}

static void other_close(struct other *o)
{
        uint64_t bytes = pages_to_bytes(o->c->s.nr_pages);

        if (!pager_free(o->p))
                say_wrong(o->c, "another VM: the pager's thread does not end");
        munmap(o->room, bytes + HUGE_PAGE_BYTES);
        munmap(o->view.view, bytes);
        free(o->want);
}

static void other_check(const struct other *o, uint64_t page)
{
        if (memcmp(o->ram + pages_to_bytes(page), o->want + pages_to_bytes(page), PAGE_BYTES) != 0)
                say_wrong(o->c, "another VM: page %llu differs from the model", (unsigned long long)page);
}

static void other_op(const struct other *o, uint64_t *r)
{
        uint64_t page = torture_random(r, o->c->s.nr_pages), at = pages_to_bytes(page) + torture_random(r, PAGE_BYTES);

        if (torture_chance(r, 3))
                o->ram[at] = o->want[at] = (uint8_t)torture_random(r, 256);
        else
                other_check(o, page);
}

/* To the very end: all of it is there, and right. */
static void other_finish(const struct other *o)
{
        int r;

        pager_hurry(o->p);
        r = pager_wait(o->p, OTHER_PATIENCE);
        if (r != 0)
                say_wrong(o->c, "another VM: pager_wait: %d", r);
        for (uint64_t page = 0; r == 0 && page < o->c->s.nr_pages; page++)
                other_check(o, page);
}

static void *other_main(void *arg)
{
        struct guest *g = arg;

        do {
                struct other o;

                other_open(&o, g->c, torture_mix(g->r++));
                for (uint64_t i = 0, n = torture_random(&g->r, OTHER_OPS); i < n && !g->c->is_wrong; i++)
                        other_op(&o, &g->r);
                if (torture_chance(&g->r, 2))
                        other_finish(&o);
                other_close(&o);
        } while (!g->c->over && !g->c->is_wrong);
        return NULL;
}

static void others_begin(struct chamber *c, struct guest v[TORTURE_OTHERS_MAX])
{
        for (unsigned i = 0; i < c->s.others; i++) {
                v[i] = (struct guest){ .c = c, .nr = i, .r = torture_mix(c->s.seed ^ 0x07e5 ^ (uint64_t)i << 32) };
                cr_assert_eq(pthread_create(&v[i].thread, NULL, other_main, &v[i]), 0);
        }
}

static void others_end(const struct chamber *c, const struct guest v[TORTURE_OTHERS_MAX])
{
        for (unsigned i = 0; i < c->s.others; i++)
                pthread_join(v[i].thread, NULL);
}
