/* tests/unit/uffd/ram.h: a guest's RAM as core/guest_ram.c maps it: aligned for huge pages, and without any.
 * Owns:    nothing; munmap(2) gives the RAM back.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/base/units.h"

#include <criterion/criterion.h>
#include <sys/mman.h>

static inline uint8_t *ram_map(uint64_t bytes)
{
        uint8_t *room = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                             -1, 0);
        uint8_t *ram = (uint8_t *)align_up((uint64_t)room, HUGE_PAGE_BYTES);

        cr_assert(room != MAP_FAILED);
        if (ram > room)
                munmap(room, (size_t)(ram - room));
        if (ram - room < (ptrdiff_t)HUGE_PAGE_BYTES)
                munmap(ram + bytes, HUGE_PAGE_BYTES - (size_t)(ram - room));
        madvise(ram, bytes, MADV_NOHUGEPAGE);
        return ram;
}
