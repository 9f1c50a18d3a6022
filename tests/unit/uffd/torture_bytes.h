/* tests/unit/uffd/torture_bytes.h: the model's body, and the bytes that a page of it has at first.
 * Owns:    see torture_model.h.
 * Threads: see there.
 * Blocks:  never. */
#pragma once

#include "core/model/page_map.h"
#include "tests/support/silent_file.h"
#include "tests/support/tmpdir.h"
#include "tests/unit/uffd/torture_schedule.h"
#include "uffd/pager.h"

struct model {
        const struct schedule *s;
        struct page_map        map;
        struct tmpdir          dir;
        struct silent_file     silent; /* over source 0, where it hushes */
        int                    fds[TORTURE_SOURCES_MAX];
        uint64_t               end_bytes[TORTURE_SOURCES_MAX]; /* of what is in the file */
        uint32_t               chunk_pages[TORTURE_SOURCES_MAX];
        struct pager_range     ranges[16];
        size_t                 nr_ranges;

        uint8_t *want;
        int     *bad;     /* -errno for which it is lost if it is asked for and was not given back before; 0: it must be right */
        bool    *may;     /* it may as well be right */
        bool    *removed; /* given back */
        bool    *served;
        int     *first_bad; /* as `bad` and `may` were at first; constant */
        bool    *first_may;
};

static void model_page_bytes(const struct schedule *s, uint64_t page, uint64_t *w)
{
        uint64_t what = torture_mix(s->seed ^ page << 20), zeros = torture_zeros(s, page);

        what = what % zeros == 0 ? 0 : 1 + what / zeros % 7; /* 0: zeros; 1 to 3: LZ4 makes something of it */

        for (uint64_t i = 0; i < PAGE_BYTES / 8; i++)
                w[i] = what == 0 ? 0 : (page + 1) * 0x9e3779b97f4a7c15ULL + s->seed * 31 + (what < 4 ? i / 32 : i * i);
}
