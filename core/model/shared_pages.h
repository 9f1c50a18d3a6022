/* core/model/shared_pages.h: memory that many VMs of one snapshot map privately, and which of its pages hold the snapshot's
 * bytes.
 * Owns:    nothing: plain data, the mappings are core/template.h's.
 * Threads: the bits are set and read by pager threads of many processes.
 * Blocks:  never.
 *
 * That a page is there does not say that its bytes are: a VM that is killed while KVM is about to touch a page of it leaves a
 * page of zeros behind, as nobody answers that fault any more. So a page is the snapshot's only where its bit is set, by who put
 * it there. */
#pragma once

#include "core/base/units.h"

#include <stdatomic.h>
#include <stdbool.h>

struct shared_pages {
        /* mapped shared and read-only, at least what is served; registered with the pager's uffd, so that nobody reads what is
         * absent */
        uint8_t          *view;
        uint64_t          nr_pages;
        uint32_t          unit_pages; /* 1 or 512: pages that are put there at once */
        _Atomic uint64_t *bits;       /* one per unit */
};

/* Acquire, pairs with the release in shared_pages_set: who sees the bit sees the page. */
static inline bool shared_pages_get(const struct shared_pages *s, uint64_t page)
{
        uint64_t unit = page / s->unit_pages;

        return atomic_load_explicit(&s->bits[unit / 64], memory_order_acquire) >> (unit % 64) & 1;
}

/* Once the bytes are there. Release, pairs with the acquire in shared_pages_get. */
static inline void shared_pages_set(const struct shared_pages *s, uint64_t first_page, uint64_t nr_pages)
{
        for (uint64_t page = first_page; page < first_page + nr_pages; page += s->unit_pages) {
                uint64_t unit = page / s->unit_pages;

                atomic_fetch_or_explicit(&s->bits[unit / 64], UINT64_C(1) << (unit % 64), memory_order_release);
        }
}
