/* core/model/written_pages.h: which pages of guest RAM user space has written: what KVM's dirty log does not know. A bit a page.
 * Owns:    nothing; the bits belong to whoever keeps account (core/lineage.h).
 * Threads: written_pages_mark: any. The bits are taken while nobody writes: vCPUs and devices are parked then.
 * Blocks:  never. */
#pragma once

#include "core/base/units.h"

#include <stdatomic.h>
#include <stddef.h>

struct written_pages {
        const uint8_t    *ram; /* of page 0 */
        _Atomic uint64_t *bits;
};

/* [at, at + len) of RAM is written, or about to be. w NULL: nobody keeps account. Relaxed: who takes the bits has parked the
 * writer, by a lock that orders all of it. */
static inline void written_pages_mark(const struct written_pages *w, const void *at, size_t len)
{
        uint64_t page, end;

        if (!w || !len)
                return;
        page = bytes_to_pages((uint64_t)((const uint8_t *)at - w->ram));
        end = bytes_to_pages((uint64_t)((const uint8_t *)at - w->ram) + len - 1) + 1;
        for (; page < end; page++) {
                _Atomic uint64_t *word = &w->bits[page / 64];
                uint64_t          bit = 1ULL << (page % 64);

                /* most are marked already: no line is fought for */
                if (!(atomic_load_explicit(word, memory_order_relaxed) & bit))
                        atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
        }
}
