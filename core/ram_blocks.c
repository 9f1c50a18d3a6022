/* Asks /proc/self/pagemap what is there before it is looked at: reading a page that is not would allocate it. */
#include "core/ram_blocks.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define BLOCK_PAGES 512ULL /* 2 MiB: a huge page, and a write that file systems like */

/* /proc/PID/pagemap: bit 63 present, bit 62 swapped (Documentation/admin-guide/mm/pagemap.rst, Linux 2.6.25). */
#define PAGEMAP_HERE (3ULL << 62)

static int open_pagemap(void)
{
        return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

/* How many of at most BLOCK_PAGES pages are there; all of them, where nobody tells. */
static uint64_t count_here(int pagemap_fd, const uint8_t *at, uint64_t nr_pages)
{
        uint64_t entries[BLOCK_PAGES], nr = 0;
        ssize_t want = (ssize_t)(nr_pages * sizeof(entries[0]));

        if (pagemap_fd < 0 || fd_pread_full(pagemap_fd, entries, (size_t)want, bytes_to_pages((uint64_t)at) * sizeof(entries[0])) != want)
                return nr_pages;
        for (uint64_t i = 0; i < nr_pages; i++)
                nr += (entries[i] & PAGEMAP_HERE) != 0;
        return nr;
}

/* Does [page, +nr) reach into a mapped range? *i: of the last call, whose pages came before these. */
static bool is_mapped(const struct pager_range *mapped, size_t nr_mapped, size_t *i, uint64_t page, uint64_t nr)
{
        while (*i < nr_mapped && mapped[*i].first_page + mapped[*i].nr_pages <= page)
                ++*i;
        return *i < nr_mapped && mapped[*i].first_page < page + nr;
}

int ram_blocks_walk(const struct guest_ram *ram, const struct pager_range *mapped, size_t nr_mapped, ram_block_fn fn, void *arg, struct err *e)
{
        _cleanup_close_ int pagemap_fd = open_pagemap();
        _cleanup_free_ uint8_t *block = malloc(pages_to_bytes(BLOCK_PAGES));
        uint64_t nr_pages = bytes_to_pages(ram->size_bytes);
        size_t i = 0;
        int r = 0;

        if (!block)
                return err_set(e, -ENOMEM, "no memory for a block of 2 MiB");
        for (uint64_t page = 0; page < nr_pages && r >= 0; page += BLOCK_PAGES) {
                uint64_t nr = MIN(BLOCK_PAGES, nr_pages - page);

                if (!is_mapped(mapped, nr_mapped, &i, page, nr) && !count_here(pagemap_fd, ram->base + pages_to_bytes(page), nr)) {
                        r = fn(arg, NULL, nr, e);
                        continue;
                }
                r = guest_ram_read(ram, pages_to_bytes(page), block, pages_to_bytes(nr));
                if (r < 0)
                        return err_set(e, r, "guest RAM: pages %llu to %llu cannot be read: %s", (unsigned long long)page,
                                       (unsigned long long)(page + nr - 1), strerror(-r));
                r = fn(arg, block, nr, e);
        }
        return r;
}

uint64_t ram_blocks_resident(const struct guest_ram *ram, uint64_t first_page, uint64_t nr_pages)
{
        _cleanup_close_ int pagemap_fd = open_pagemap();
        uint64_t nr = 0;

        for (uint64_t done = 0; done < nr_pages; done += BLOCK_PAGES)
                nr += count_here(pagemap_fd, ram->base + pages_to_bytes(first_page + done), MIN(BLOCK_PAGES, nr_pages - done));
        return nr;
}
