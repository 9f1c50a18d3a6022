/* core/ram_presence.h: which pages of guest RAM hold anything, asked without bringing a page into being.
 * Owns:    struct ram_presence a descriptor of /proc/self/pagemap; borrows RAM.
 * Threads: session thread.
 * Blocks:  ram_presence_read while the pager brings a page.
 *
 *   what stands behind a page        who tells                   reading one that is absent
 *   anonymous                        /proc/self/pagemap          gives zeros
 *   the VM's own memfd               SEEK_DATA: a page may be    would put a page of zeros into the memfd
 *                                    there without being mapped
 *   2 MiB pages                      mincore                     would take a page of the pool
 *   a template or another file       nobody: it is there         gives its bytes */
#pragma once

#include "core/guest_ram.h"

#define PRESENCE_PAGES_MAX 512ULL /* 2 MiB: a huge page, and a write that file systems like */

struct ram_presence {
        const struct guest_ram *ram;
        int                     pagemap_fd;
};

/* Cannot fail: without /proc/self/pagemap every page of anonymous RAM is PRESENCE_HELD. */
void ram_presence_open(struct ram_presence *p, const struct guest_ram *ram);
void ram_presence_close(struct ram_presence *p);

enum page_presence {
        PRESENCE_ABSENT, /* not in the page table, nor in swap */
        PRESENCE_FILE,   /* a page of the file that is mapped there, not the VM's own copy */
        PRESENCE_HELD,   /* memory of the VM's; also where nobody tells */
};
/* Of at most PRESENCE_PAGES_MAX pages, one by one. What is absent of a mapped file or template is its, of everything else it is
 * zero. */
void ram_presence_look(const struct ram_presence *p, uint64_t page, uint64_t nr_pages, uint8_t *ret);

/* How many of at most PRESENCE_PAGES_MAX pages hold something; all of them, where nobody tells. */
uint64_t ram_presence_count(const struct ram_presence *p, uint64_t page, uint64_t nr_pages);
/* The bytes of at most PRESENCE_PAGES_MAX pages, of which those that are absent are zeros. 0, or -errno as of guest_ram_read. */
int ram_presence_read(const struct ram_presence *p, uint64_t page, uint64_t nr_pages, uint8_t *buf);
