/* core/guest_ram.h: the host memory behind guest RAM, mapped the way the plan says.
 * Owns:    the mapping, until guest_ram_unmap.
 * Threads: session thread.
 * Blocks:  guest_ram_read_all reads the snapshot; guest_ram_read may wait for the pager. */
#pragma once

#include "core/base/err.h"
#include "core/model/page_map.h"
#include "core/model/ram_backing.h"
#include "uffd/pager.h"

struct guest_ram {
        uint8_t *base; /* 2 MiB-aligned */
        uint64_t size_bytes;
        enum ram_backing backing;
        int fd; /* RAM_MEMFD, RAM_HUGETLB: the memory itself, from offset 0 on; else not looked at */
        /* Ranges that are private mappings of a snapshot's files; borrowed. Sorted, apart. */
        const struct pager_range *mapped;
        size_t nr_mapped;
        /* Ranges that are private mappings of a template (core/template.h); borrowed. */
        const struct pager_range *shared;
        size_t nr_shared;
};

/* Anonymous, private, not inherited by fork. huge: MADV_HUGEPAGE, only where every byte is written before anybody looks or zeros
 * are right anyway (eager, boot); else MADV_NOHUGEPAGE: one resident byte of a huge page would hide the rest from the pager. */
int  guest_ram_map(uint64_t size_bytes, bool huge, struct guest_ram *ret, struct err *e);
/* The same of any kind; a memfd's huge pages are its own matter (core/ram_memfd.c). */
int  guest_ram_map_as(enum ram_backing backing, uint64_t size_bytes, bool huge, struct guest_ram *ret, struct err *e);
void guest_ram_unmap(struct guest_ram *r); /* accepts a zeroed one */

/* Puts MAP_PRIVATE mappings of the sources over the anonymous memory: one for each range, which lies within one raw run; the
 * ranges are borrowed. That there are not too many is the plan's to know (plan_check). */
int guest_ram_map_files(struct guest_ram *r, const struct page_map *map, const struct pager_range *mapped, size_t nr_mapped,
                        struct err *e);

/* Reads and unpacks every run that has bytes, on up to nr_threads threads, checks the sums where verify is on. A page that cannot
 * be read or does not match:
 * -EBADMSG with file, offset, expected, found. */
int guest_ram_read_all(struct guest_ram *r, const struct page_map *map, bool verify, uint32_t nr_threads, uint64_t *ret_bytes,
                       struct err *e);

/* Copies out of guest RAM without a SIGBUS where a page is lost: 0, or -EFAULT/-EHWPOISON. */
int guest_ram_read(const struct guest_ram *r, uint64_t offset_bytes, void *buf, uint64_t len_bytes);
