/* core/prefill.h: reads whole 2 MiB ranges of RAM into huge pages, on threads of its own, before anything of them is registered
 * and before KVM looks at RAM: a range that is half read would show zeros to whoever looks.
 * Owns:    its threads and their buffers; borrows RAM, the page map and the ranges until prefill_finish.
 * Threads: session thread; the work is done by up to PREFILL_THREADS_MAX others, and by itself where it helps.
 * Blocks:  prefill_help as long as it reads; prefill_finish until every range is read. */
#pragma once

#include "core/guest_ram.h"
#include "uffd/pager.h"

#define PREFILL_THREADS_MAX 4

struct prefill;

struct prefill_config {
        const struct guest_ram   *ram;
        const struct page_map    *map;
        const struct pager_range *ranges; /* anonymous, untouched, 2 MiB each */
        size_t                    nr_ranges;
        bool                      verify, cold; /* cold: ask the disk for all of it at once */
        uint32_t                  nr_threads; /* beside the session thread */
};

/* Begins; the session thread goes on (it makes the VM). 0 or -errno. nr_ranges 0: nothing is made, *ret is NULL. */
int prefill_begin(const struct prefill_config *c, struct prefill **ret, struct err *e);
/* Reads with the others until no more ranges are left than they are. NULL: nothing. Errors are prefill_finish's. */
void prefill_help(struct prefill *p);
/* Waits for all of them, gives everything back. NULL: 0 at once. A page that cannot be read or does not match its checksum: the
 * error of page_reader, of kind ERR_SNAPSHOT; the others are then given up. *ret_bytes: how many were read; *ret_ns: when the
 * last of them was there. */
int prefill_finish(struct prefill *p, uint64_t *ret_bytes, uint64_t *ret_ns, struct err *e);
