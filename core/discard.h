/* core/discard.h: pages that the guest gave back: they read as zeros from now on, and their memory is the host's again.
 * Owns:    a bit per page of mapped RAM, from the first discard on; borrows RAM.
 * Threads: discard_init and discard_fini: session thread; discard_pages: any.
 * Blocks:  discard_pages until the pager's thread has read of it (UFFD_EVENT_REMOVE); the pager waits for nobody here.
 *
 *   what stands behind a page             what makes it zero
 *   served by userfaultfd                 MADV_DONTNEED: the pager hears of it and answers later faults with zeros
 *   anonymous: zeros, read ahead, booted  MADV_DONTNEED: the kernel gives zeros; part of a huge page is split off it
 *   a mapping of the memory file          an anonymous mapping over it; where the mappings are used up, zeros are written
 *   a mapping of a template               MADV_DONTNEED, for the pager to hear of it, and then the same
 *   the VM's own memfd                    MADV_REMOVE: a hole; the pager hears of that, too
 *   2 MiB pages                           whole ones as above, parts of one are written with zeros: they free nothing */
#pragma once

#include "core/guest_ram.h"

#include <pthread.h>

struct discard {
        /* set by discard_init, then read-only */
        const struct guest_ram *ram;
        uint64_t                max_mappings;
        /* under lock */
        pthread_mutex_t lock;
        uint64_t       *replaced;    /* a bit per page: no longer the file's; NULL before the first one */
        uint64_t        nr_mappings; /* of RAM, as the kernel joins neighbours of one kind */
};

/* Half of max_map_count is RAM's. */
void discard_init(struct discard *d, const struct guest_ram *ram, uint64_t max_map_count);
void discard_fini(struct discard *d); /* accepts a zeroed one */

enum behind { BEHIND_MEMORY, BEHIND_FILE, BEHIND_TEMPLATE };
/* What stands behind `page` now, and *ret_nr pages from it on, below end. While nobody discards. */
enum behind discard_what(const struct discard *d, uint64_t page, uint64_t end, uint64_t *ret_nr);

/* RAM pages [first, +nr), which must be within RAM. 0; 1: they are zero, but some were not freed, as no more mappings can be had;
 * -errno: some of them may still read as they did, so the VM must not go on. */
int discard_pages(struct discard *d, uint64_t first_page, uint64_t nr_pages);
