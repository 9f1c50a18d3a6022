/* Each kind of memory has its own witness. */
#include "core/ram_presence.h"

#include "core/base/fdio.h"
#include "core/page_ranges.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* /proc/PID/pagemap: bit 63 present, bit 62 swapped (Documentation/admin-guide/mm/pagemap.rst, Linux 2.6.25). */
#define PAGEMAP_HERE (3ULL << 62)
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_FILE    (1ULL << 61) /* of a file, or shared (Linux 3.5) */

void ram_presence_open(struct ram_presence *p, const struct guest_ram *ram)
{
        *p = (struct ram_presence){.ram = ram, .pagemap_fd = -1};
        if (ram->backing == RAM_ANON)
                p->pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void ram_presence_close(struct ram_presence *p)
{
        if (p->pagemap_fd >= 0)
                close(p->pagemap_fd);
        p->pagemap_fd = -1;
}

static uint64_t count_anonymous(const struct ram_presence *p, uint64_t page, uint64_t nr_pages)
{
        uint64_t entries[PRESENCE_PAGES_MAX], nr = 0;
        uint64_t from = bytes_to_pages((uint64_t)p->ram->base) + page;
        ssize_t want = (ssize_t)(nr_pages * sizeof(entries[0]));

        if (p->pagemap_fd < 0 || fd_pread_full(p->pagemap_fd, entries, (size_t)want, from * sizeof(entries[0])) != want)
                return nr_pages;
        for (uint64_t i = 0; i < nr_pages; i++)
                nr += (entries[i] & PAGEMAP_HERE) != 0;
        return nr;
}

/* The next data in the memfd at or after `page`, below end: [*ret_first, *ret_end). False: there is none. Where it cannot be
 * told, all is data. */
static bool next_data(const struct guest_ram *ram, uint64_t page, uint64_t end, uint64_t *ret_first, uint64_t *ret_end)
{
        off_t data = lseek(ram->fd, (off_t)pages_to_bytes(page), SEEK_DATA), hole;

        if (data < 0 && errno == ENXIO)
                return false;
        hole = data < 0 ? -1 : lseek(ram->fd, data, SEEK_HOLE);
        *ret_first = data < 0 ? page : bytes_to_pages((uint64_t)data);
        *ret_end = hole < 0 ? end : MIN(bytes_to_pages((uint64_t)hole), end);
        return *ret_first < end;
}

static uint64_t count_memfd(const struct ram_presence *p, uint64_t page, uint64_t nr_pages)
{
        uint64_t end = page + nr_pages, first, nr = 0;

        while (page < end && next_data(p->ram, page, end, &first, &page))
                nr += page - first;
        return nr;
}

/* A 2 MiB page is there or not; mincore(2) says so of one that is on its way to another place, too. */
static uint64_t count_huge(const struct ram_presence *p, uint64_t page, uint64_t nr_pages)
{
        unsigned char in[PRESENCE_PAGES_MAX];
        uint64_t nr = 0;

        if (mincore(p->ram->base + pages_to_bytes(page), pages_to_bytes(nr_pages), in) < 0)
                return nr_pages;
        for (uint64_t i = 0; i < nr_pages; i++)
                nr += in[i] & 1;
        return nr;
}

/* Does one of the ranges reach into [page, +nr_pages)? */
static bool overlaps(const struct pager_range *v, size_t nr, uint64_t page, uint64_t nr_pages)
{
        size_t low = page_ranges_past(v, nr, page);

        return low < nr && v[low].first_page < page + nr_pages;
}

uint64_t ram_presence_count(const struct ram_presence *p, uint64_t page, uint64_t nr_pages)
{
        if (overlaps(p->ram->mapped, p->ram->nr_mapped, page, nr_pages) ||
            overlaps(p->ram->shared, p->ram->nr_shared, page, nr_pages))
                return nr_pages;
        switch (p->ram->backing) {
        case RAM_MEMFD:
                return count_memfd(p, page, nr_pages);
        case RAM_HUGETLB:
                return count_huge(p, page, nr_pages);
        case RAM_ANON:
                break;
        }
        return count_anonymous(p, page, nr_pages);
}

/* What is read through the mapping, so that a lost page is an error. */
static int read_memfd(const struct ram_presence *p, uint64_t page, uint64_t nr_pages, uint8_t *buf)
{
        uint64_t at = page, end = page + nr_pages, first;
        int r = 0;

        memset(buf, 0, pages_to_bytes(nr_pages));
        while (r >= 0 && at < end && next_data(p->ram, at, end, &first, &at))
                r = guest_ram_read(p->ram, pages_to_bytes(first), buf + pages_to_bytes(first - page), pages_to_bytes(at - first));
        return r;
}

int ram_presence_read(const struct ram_presence *p, uint64_t page, uint64_t nr_pages, uint8_t *buf)
{
        if (p->ram->backing == RAM_MEMFD)
                return read_memfd(p, page, nr_pages, buf);
        return guest_ram_read(p->ram, pages_to_bytes(page), buf, pages_to_bytes(nr_pages));
}

static void look_in_pagemap(const struct ram_presence *p, uint64_t page, uint64_t nr_pages, uint8_t *ret)
{
        uint64_t entries[PRESENCE_PAGES_MAX], from = bytes_to_pages((uint64_t)p->ram->base) + page;
        ssize_t want = (ssize_t)(nr_pages * sizeof(entries[0]));

        if (p->pagemap_fd < 0 || fd_pread_full(p->pagemap_fd, entries, (size_t)want, from * sizeof(entries[0])) != want)
                return;
        for (uint64_t i = 0; i < nr_pages; i++) {
                if (!(entries[i] & PAGEMAP_HERE))
                        ret[i] = PRESENCE_ABSENT;
                else if (entries[i] & PAGEMAP_PRESENT && entries[i] & PAGEMAP_FILE)
                        ret[i] = PRESENCE_FILE;
        }
}

static void look_in_memfd(const struct ram_presence *p, uint64_t page, uint64_t nr_pages, uint8_t *ret)
{
        uint64_t at = page, end = page + nr_pages, first;

        memset(ret, PRESENCE_ABSENT, nr_pages);
        while (at < end && next_data(p->ram, at, end, &first, &at))
                memset(ret + (first - page), PRESENCE_HELD, at - first);
}

static void look_at_huge(const struct ram_presence *p, uint64_t page, uint64_t nr_pages, uint8_t *ret)
{
        unsigned char in[PRESENCE_PAGES_MAX];

        if (mincore(p->ram->base + pages_to_bytes(page), pages_to_bytes(nr_pages), in) < 0)
                return;
        for (uint64_t i = 0; i < nr_pages; i++)
                ret[i] = in[i] & 1 ? PRESENCE_HELD : PRESENCE_ABSENT;
}

void ram_presence_look(const struct ram_presence *p, uint64_t page, uint64_t nr_pages, uint8_t *ret)
{
        memset(ret, PRESENCE_HELD, nr_pages);
        switch (p->ram->backing) {
        case RAM_MEMFD:
                look_in_memfd(p, page, nr_pages, ret);
                break;
        case RAM_HUGETLB:
                look_at_huge(p, page, nr_pages, ret);
                break;
        case RAM_ANON:
                look_in_pagemap(p, page, nr_pages, ret);
                break;
        }
}
