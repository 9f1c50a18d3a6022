/* bench/floors/memory.c: mmap, and the touching of it. */
#include "bench/floors/memory.h"

#include "core/base/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void floor_die(const char *what, int error)
{
        fprintf(stderr, "rouse bench: %s: %s\n", what, strerror(error < 0 ? -error : error));
        exit(1);
}

static uint8_t *map(uint64_t bytes, int flags)
{
        void *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

        if (m == MAP_FAILED)
                floor_die("mmap", errno);
        return m;
}

uint8_t *memory_map(uint64_t bytes)
{
        return map(bytes, MAP_NORESERVE);
}

uint8_t *memory_map_there(uint64_t bytes)
{
        return map(bytes, MAP_POPULATE);
}

uint8_t *memory_map_ram(uint64_t bytes)
{
        uint8_t *room = memory_map(bytes + HUGE_PAGE_BYTES), *end = room + bytes + HUGE_PAGE_BYTES;
        uint8_t *ram = (uint8_t *)align_up((uint64_t)room, HUGE_PAGE_BYTES);

        if (ram > room)
                munmap(room, (size_t)(ram - room));
        if (end > ram + bytes)
                munmap(ram + bytes, (size_t)(end - ram) - bytes);
        (void)madvise(ram, bytes, MADV_NOHUGEPAGE); /* EINVAL: a kernel without huge pages */
        return ram;
}

void memory_fill(uint8_t *m, uint64_t bytes)
{
        for (uint64_t page = 0; page < bytes_to_pages(bytes); page++) {
                uint64_t *w = (uint64_t *)(m + pages_to_bytes(page));

                for (uint64_t i = 0; i < PAGE_BYTES / 8; i++)
                        w[i] = (page + 1) * UINT64_C(0x9e3779b97f4a7c15) + i;
        }
}

void memory_warm_host(uint64_t bytes)
{
        uint8_t *m = memory_map(bytes);

        (void)madvise(m, bytes, MADV_HUGEPAGE);
        for (uint64_t at = 0; at < bytes; at += PAGE_BYTES)
                m[at] = 1;
        munmap(m, bytes);
}

void memory_shuffle(uint64_t *v, uint64_t nr, uint64_t seed)
{
        for (uint64_t i = 0; i < nr; i++)
                v[i] = i;
        for (uint64_t i = nr; i > 1; i--) {
                uint64_t j, t = v[i - 1];

                seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                j = (seed >> 33) % i;
                v[i - 1] = v[j];
                v[j] = t;
        }
}
