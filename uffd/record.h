/* uffd/record.h: first touches, in order.
 * Owns:    its array, which the kernel backs only where it is written.
 * Threads: record_add on the pager thread; the rest from any.
 * Blocks:  never. */
#pragma once

#include "uffd/pager.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record {
        size_t              cap;
        struct pager_touch *touches;
        _Atomic size_t      nr;
        _Atomic bool        on;
};

int  record_init(struct record *r, size_t cap_pages); /* recording is on; 0 or -ENOMEM */
void record_free(struct record *r);                   /* accepts a zeroed one */
/* The caller sees to it that a page comes once. */
void   record_add(struct record *r, const struct pager_touch *t);
bool   record_is_on(const struct record *r);
void   record_end(struct record *r);
size_t record_get(const struct record *r, const struct pager_touch **ret);

/* What a fault message, asked for with UFFD_FEATURE_THREAD_ID, says of the touch: flags are UFFD_PAGEFAULT_FLAG_*. */
enum pager_touch_kind record_kind(uint64_t flags, uint32_t thread);
