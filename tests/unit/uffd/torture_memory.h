/* tests/unit/uffd/torture_memory.h: the RAM of a schedule, as each kind of memory that a pager serves, and how a guest gives
 * parts of it back.
 * Owns:    the mapping, and the template that it may be a private mapping of.
 * Threads: made and freed by one; memory_discard by whoever owns the pages.
 * Blocks:  memory_discard until the pager has read its event. */
#pragma once

#include "tests/unit/uffd/ram.h"
#include "core/model/shared_pages.h"
#include "tests/unit/uffd/torture_model.h"

#include <linux/memfd.h>
#include <linux/mman.h>

struct memory {
        void               *room; /* around it */
        uint8_t            *ram;
        int                 fd; /* behind it; -1: anonymous */
        struct shared_pages template;
};

static int memory_flags(const struct schedule *s)
{
        return (torture_is_shared(s) ? MAP_PRIVATE : MAP_SHARED) | (torture_is_huge(s) ? 0 : MAP_NORESERVE);
}

/* The file at 2 MiB, so that whole huge pages can be there; *ret_room is to be unmapped. */
static uint8_t *memory_map_file(const struct schedule *s, int fd, void **ret_room)
{
        uint64_t bytes = pages_to_bytes(s->nr_pages);
        void    *room = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *ram;

        cr_assert(room != MAP_FAILED);
        ram = mmap((void *)align_up((uintptr_t)room, HUGE_PAGE_BYTES), bytes, PROT_READ | PROT_WRITE, memory_flags(s) | MAP_FIXED,
                   fd, 0);
        cr_assert(ram != MAP_FAILED, "map RAM: %s", strerror(errno));
        if (!torture_is_huge(s))
                madvise(ram, bytes, MADV_NOHUGEPAGE);
        *ret_room = room;
        return ram;
}

/* A view of the template, which each VM has one of; the bits are everybody's. */
static struct shared_pages memory_view(const struct schedule *s, int fd, _Atomic uint64_t *bits)
{
        struct shared_pages t = { .view = mmap(NULL, pages_to_bytes(s->nr_pages), PROT_READ, MAP_SHARED, fd, 0),
                                  .nr_pages = s->nr_pages,
                                  .unit_pages = (uint32_t)torture_unit(s), .bits = bits };

        cr_assert(t.view != MAP_FAILED && bits);
        return t;
}

static void memory_map(struct memory *mem, const struct schedule *s)
{
        uint64_t bytes = pages_to_bytes(s->nr_pages);

        mem->fd = -1;
        if (s->backing == BACK_ANON) {
                mem->ram = ram_map(bytes); /* aligned, so that whole 2 MiB of it can be moved */
                return;
        }
        mem->fd = memfd_create("ram", MFD_CLOEXEC | (torture_is_huge(s) ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
        cr_assert(mem->fd >= 0 && ftruncate(mem->fd, (off_t)bytes) == 0);
        if (torture_is_shared(s))
                mem->template = memory_view(s, mem->fd, calloc(s->nr_pages / 64 + 1, sizeof(*mem->template.bits)));
        mem->ram = memory_map_file(s, mem->fd, &mem->room);
}

static bool memory_is_whole(const struct model *m, uint64_t page, uint64_t unit)
{
        for (uint64_t i = page; i < page + unit; i++)
                if (!m->served[i] || m->first_bad[i])
                        return false;
        return true;
}

/* Other VMs were there before: some pages are the snapshot's and vouched for, some came to be when a VM was killed. */
static void memory_fill_template(struct memory *mem, const struct model *m)
{
        uint64_t bytes = pages_to_bytes(m->s->nr_pages), unit = torture_unit(m->s), r = torture_mix(m->s->seed ^ 0x7e3);
        uint8_t *w;

        if (!torture_is_shared(m->s))
                return;
        w = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd, 0);
        cr_assert(w != MAP_FAILED);
        for (uint64_t page = 0; page < m->s->nr_pages; page += unit) {
                if (torture_chance(&r, 3) && memory_is_whole(m, page, unit)) {
                        memcpy(w + pages_to_bytes(page), model_page(m, page), pages_to_bytes(unit));
                        shared_pages_set(&mem->template, page, unit);
                } else if (torture_chance(&r, 16) && m->served[page]) {
                        *(volatile uint8_t *)(w + pages_to_bytes(page)) = 0;
                }
        }
        munmap(w, bytes);
}

static void memory_free(struct memory *mem, const struct schedule *s)
{
        if (mem->room)
                munmap(mem->room, pages_to_bytes(s->nr_pages) + HUGE_PAGE_BYTES);
        else
                munmap(mem->ram, pages_to_bytes(s->nr_pages));
        if (mem->fd >= 0)
                close(mem->fd);
        if (torture_is_shared(s)) {
                munmap(mem->template.view, pages_to_bytes(s->nr_pages));
                free((void *)mem->template.bits);
        }
}

/* As core/discard.c does it: a hole is punched where nobody else maps the file; a template's pages are covered once the pager has
 * heard. Whole units. 0 or -errno. */
static int memory_discard(const struct memory *mem, const struct schedule *s, uint64_t page, uint64_t nr_pages)
{
        uint8_t *at = mem->ram + pages_to_bytes(page);
        uint64_t bytes = pages_to_bytes(nr_pages);
        int      flags = torture_is_huge(s) ? MAP_HUGETLB | MAP_HUGE_2MB : MAP_NORESERVE;

        if (madvise(at, bytes, s->backing == BACK_MEMFD || s->backing == BACK_HUGE ? MADV_REMOVE : MADV_DONTNEED) < 0)
                return -errno;
        if (!torture_is_shared(s))
                return 0;
        if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0) == MAP_FAILED)
                return -errno;
        return !torture_is_huge(s) && madvise(at, bytes, MADV_NOHUGEPAGE) < 0 ? -errno : 0;
}
