/* uffd/shared.h: pages that many VMs have in common: put into the template by whoever needs them first, mapped from there by all.
 * Owns:    nothing; borrows the template.
 * Threads: pager threads, of several processes at once.
 * Blocks:  no (a few ioctls). */
#pragma once

#include "uffd/install.h"

#include <stdbool.h>

/* As struct backing_ops has it: pages that are known to be written are copied for this VM alone, as each would cost a second
 * fault. */
int shared_copy(const struct installer *in, uint64_t first_page, const void *src, uint64_t nr_pages, uint64_t *ret_done_bytes);

/* Of [page, end): the first that the template has and that is not known to be written; end where there is none. */
uint64_t shared_next(const struct installer *in, uint64_t page, uint64_t end);
/* From page on, below end: the first of which the opposite holds. */
uint64_t shared_end(const struct installer *in, uint64_t page, uint64_t end);

/* Maps pages that the template has. As backing_ops.copy. */
int shared_map(const struct installer *in, uint64_t first_page, uint64_t nr_pages, uint64_t *ret_done_bytes);
