/* tests/unit/uffd/torture_memory.h: the RAM of a schedule, as each kind of memory that a pager serves, and how a guest gives parts of it back.
 * Owns:    the mapping, and the template that it may be a private mapping of.
 * Threads: made and freed by one; memory_discard by whoever owns the pages.
 * Blocks:  memory_discard until the pager has read its event. */
#pragma once

#include "tests/unit/uffd/ram.h"
#include "core/model/shared_pages.h"
#include "tests/unit/uffd/torture_model.h"

struct memory {
        void               *room; /* around it */
        uint8_t            *ram;
        int                 fd; /* behind it; -1: anonymous */
        struct shared_pages template;
};

static void memory_map(struct memory *mem, const struct schedule *s)
{
        uint64_t bytes = pages_to_bytes(s->nr_pages);

        mem->fd = -1;
        if (s->backing != BACK_ANON) {
                mem->fd = memfd_create("ram", MFD_CLOEXEC);
                cr_assert(mem->fd >= 0 && ftruncate(mem->fd, (off_t)bytes) == 0);
        }
        if (s->backing == BACK_SHARED) {
                mem->template = (struct shared_pages){ .view = mmap(NULL, bytes, PROT_READ, MAP_SHARED, mem->fd, 0), .nr_pages = s->nr_pages, .unit_pages = 1 };
                mem->template.bits = calloc(s->nr_pages / 64 + 1, sizeof(*mem->template.bits));
                cr_assert(mem->template.view != MAP_FAILED);
        }
        mem->ram = ram_map(bytes); /* aligned, so that whole 2 MiB of it can be moved */
        if (mem->fd < 0)
                return;
        /* at 2 MiB, so that whole huge pages can be moved there */
        mem->room = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        cr_assert(mem->room != MAP_FAILED);
        mem->ram = mmap((void *)align_up((uintptr_t)mem->room, HUGE_PAGE_BYTES), bytes, PROT_READ | PROT_WRITE,
                        (s->backing == BACK_MEMFD ? MAP_SHARED : MAP_PRIVATE) | (mem->fd < 0 ? MAP_ANONYMOUS : 0) | MAP_NORESERVE | MAP_FIXED, mem->fd, 0);
        cr_assert(mem->ram != MAP_FAILED);
        madvise(mem->ram, bytes, MADV_NOHUGEPAGE);
}

/* Other VMs were there before: some pages are the snapshot's and vouched for, some came to be when a VM was killed. */
static void memory_fill_template(struct memory *mem, const struct model *m)
{
        uint64_t bytes = pages_to_bytes(m->s->nr_pages), r = torture_mix(m->s->seed ^ 0x7e3);
        uint8_t *w;

        if (m->s->backing != BACK_SHARED)
                return;
        w = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd, 0);
        cr_assert(w != MAP_FAILED);
        for (uint64_t page = 0; page < m->s->nr_pages; page++) {
                if (torture_chance(&r, 3) && m->served[page] && !m->first_bad[page]) {
                        memcpy(w + pages_to_bytes(page), model_page(m, page), PAGE_BYTES);
                        shared_pages_set(&mem->template, page, 1);
                } else if (torture_chance(&r, 16) && m->served[page]) {
                        *(volatile uint8_t *)(w + pages_to_bytes(page)) = 0;
                }
        }
        munmap(w, bytes);
}

static void memory_free(struct memory *mem, const struct schedule *s)
{
        munmap(mem->room, pages_to_bytes(s->nr_pages) + HUGE_PAGE_BYTES);
        if (mem->fd >= 0)
                close(mem->fd);
        if (s->backing == BACK_SHARED) {
                munmap(mem->template.view, pages_to_bytes(s->nr_pages));
                free((void *)mem->template.bits);
        }
}

/* As core/discard.c does it: a hole is punched where nobody else maps the file; a template's pages are covered once the pager has heard.
 * 0 or -errno. */
static int memory_discard(const struct memory *mem, const struct schedule *s, uint64_t page, uint64_t nr_pages)
{
        uint8_t *at = mem->ram + pages_to_bytes(page);
        uint64_t bytes = pages_to_bytes(nr_pages);

        if (madvise(at, bytes, s->backing == BACK_MEMFD ? MADV_REMOVE : MADV_DONTNEED) < 0)
                return -errno;
        if (s->backing != BACK_SHARED)
                return 0;
        if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
                return -errno;
        return madvise(at, bytes, MADV_NOHUGEPAGE) < 0 ? -errno : 0;
}
