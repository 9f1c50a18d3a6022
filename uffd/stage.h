/* uffd/stage.h: 2 MiB of RAM that nobody has touched yet are put together in a huge page of the pager's own, which is then moved
 * to where the guest will look for it: no byte is copied twice, and the guest has a huge page.
 * Owns:    one place of 2 MiB, which has memory only while something is being put together in it.
 * Threads: pager thread only, once made.
 * Blocks:  never.
 *
 *   served range   |................................|     512 pages, aligned, all absent
 *   place          [####0000####....................]     slice by slice, each checked here: a fault waits for one slice at most
 *                                                         512 of 512: one UFFDIO_MOVE (Linux 6.8), 4 us
 *   broken         |..#.............................|     a fault was answered inside, or a page was given back, or is not cached:
 *                                                         what is in the place is copied as from any buffer, and the fill goes on behind it */
#pragma once

#include "core/base/units.h"

#include <stdbool.h>
#include <stdint.h>

struct pager;

#define STAGE_PAGES (HUGE_PAGE_BYTES / PAGE_BYTES)

enum stage_phase { STAGE_IDLE, STAGE_FILLING, STAGE_GIVING };

struct stage {
        uint8_t         *room, *place; /* place: aligned to 2 MiB within room; NULL: nothing is staged on this host */
        bool             refused;      /* the kernel does not move between these two mappings */
        enum stage_phase phase;
        uint64_t         first_page;
        uint64_t         have;   /* pages in the place */
        uint64_t         given;  /* of these, from the first one on, those dealt with: moved, or copied after it was broken */
        uint64_t         zeros;  /* of these, pages of zeros: */
        uint64_t         zero[STAGE_PAGES / 64]; /* a bit for each page of the place */
};

static inline bool stage_is_busy(const struct stage *s)
{
        return s->phase != STAGE_IDLE;
}

int  stage_init(struct pager *p);           /* 0 or -ENOMEM */
void stage_free(struct stage *s);           /* accepts a zeroed one */

/* The next slice of at most max_pages towards filling the 2 MiB that begin with `page`, the next absent one, or towards getting
 * rid of what is in the place. False: it is not for here; bring the page in another way. */
bool stage_step(struct pager *p, uint64_t page, uint64_t max_pages);
