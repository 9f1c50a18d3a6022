/* tests/unit/uffd/rig_backing.h: the rig's RAM as each kind of memory: rig_new, rig_back, rig_start.
 * Owns:    the template of rigs that share one: rig_template_free, after them.
 * Threads: as rig.h.
 * Blocks:  as rig.h. */
#pragma once

#include "tests/support/huge_pool.h"
#include "tests/unit/uffd/rig.h"

#include <linux/memfd.h>

#define UNIT 512u

struct rig_kind {
        const char *name;
        bool        memfd, shared, huge;
};

static const struct rig_kind rig_kinds[] = {
        { "anonymous", false, false, false }, { "memfd", true, false, false },        { "shared", true, true, false },
        { "huge", true, false, true },        { "huge and shared", true, true, true },
};
#define SMALL_KINDS 3

struct rig_template {
        int                 fd;
        struct shared_pages pages;
};

static inline void rig_template_new(struct rig_template *t, uint64_t nr_pages, bool huge)
{
        uint64_t bytes = pages_to_bytes(nr_pages);
        void    *bits = mmap(NULL, nr_pages / 8 + 8, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        void    *view;

        t->fd = memfd_create("template", MFD_CLOEXEC | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
        cr_assert(t->fd >= 0 && ftruncate(t->fd, (off_t)bytes) == 0);
        view = mmap(NULL, bytes, PROT_READ, MAP_SHARED, t->fd, 0);
        cr_assert(view != MAP_FAILED && bits != MAP_FAILED);
        t->pages = (struct shared_pages){ .view = view, .nr_pages = nr_pages, .unit_pages = huge ? UNIT : 1, .bits = bits };
}

static inline void rig_template_free(struct rig_template *t)
{
        munmap(t->pages.view, pages_to_bytes(t->pages.nr_pages));
        munmap((void *)t->pages.bits, t->pages.nr_pages / 8 + 8);
        close(t->fd);
}

/* The view of another process: its pager registers its own. */
static inline struct rig_template rig_template_of_another(const struct rig_template *t)
{
        struct rig_template other = *t;

        other.fd = dup(t->fd);
        other.pages.view = mmap(NULL, pages_to_bytes(t->pages.nr_pages), PROT_READ, MAP_SHARED, t->fd, 0);
        cr_assert(other.pages.view != MAP_FAILED);
        return other;
}

/* Before rig_start. t: of the shared kinds; else NULL. */
static inline void rig_back(struct rig *g, const struct rig_kind *k, struct rig_template *t)
{
        uint64_t bytes = pages_to_bytes(g->nr_pages);
        int      fd = t ? dup(t->fd) : memfd_create("ram", MFD_CLOEXEC | (k->huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));

        g->c.backing = k->huge ? RAM_HUGETLB : k->memfd && !k->shared ? RAM_MEMFD : RAM_ANON;
        g->c.shared = t ? &t->pages : NULL;
        if (k->memfd) {
                munmap(g->ram, bytes);
                cr_assert(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
                g->c.ram = g->ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, t ? MAP_PRIVATE : MAP_SHARED, fd, 0);
                cr_assert(g->ram != MAP_FAILED, "%s: %s", k->name, strerror(errno));
        }
        close(fd);
}

/* As core/discard.c does it of whole units. */
static inline void rig_discard(const struct rig *g, uint64_t page, uint64_t nr)
{
        bool punch = g->c.backing != RAM_ANON && !g->c.shared;

        cr_assert_eq(madvise(g->ram + pages_to_bytes(page), pages_to_bytes(nr), punch ? MADV_REMOVE : MADV_DONTNEED), 0);
}
