/* uffd/replay.h: what to bring next, from the hints: windows in first-touch order, each sorted by page.
 * Owns:    nothing; borrows the list, the page map and the ranges.
 * Threads: pager thread only.
 * Blocks:  never. A new window costs at most 100 us (512 look-ups and a sort).
 *
 *   list    7 3 4 900 5 | 12 11 6 ...          first-touch order, cut in windows, and where a phase ends
 *   window  [3 4 5] [7] [900]                  neighbours become one extent: one read, one UFFDIO_COPY */
#pragma once

#include "core/model/hints.h"
#include "core/model/page_map.h"
#include "uffd/page_state.h"
#include "uffd/served.h"

/* Long enough for neighbours to find one another, short enough that early touches stay early. Arbitrary between 256 and 1024. */
#define HINT_WINDOW 512

struct hint_walk {
        const struct hint *list;
        size_t             nr_list;
        size_t             next;        /* first of the list that is not in the window yet */
        size_t             nr, pos;     /* of the window */
        uint8_t            phase;       /* of the window: no window has hints of two */
        uint32_t           window[HINT_WINDOW];
};

/* Neighbouring pages of one raw run. nr_pages 0: none. */
struct extent {
        const struct page_run *run;
        uint64_t               first_page, nr_pages;
};

struct replay_view {
        const struct page_map *map;
        struct served          served;
        struct page_states    *states;
};

void hint_walk_init(struct hint_walk *w, const struct hint *list, size_t nr_list);

/* The next hints that a read may be started for, at most max_pages neighbours, over holes of up to gap_pages (to read ahead
 * only). Hints that are being read are marked in the states where mark says so. hint_walk_pass goes past them. */
struct extent hint_walk_peek(struct hint_walk *w, const struct replay_view *v, uint64_t max_pages, uint64_t gap_pages, bool mark);
void          hint_walk_pass(struct hint_walk *w, uint64_t end_page);
/* Enough: the rest is not asked for. What is being read of the window is marked. */
void hint_walk_end(struct hint_walk *w, const struct replay_view *v);
/* Every hint was passed. */
bool hint_walk_is_over(const struct hint_walk *w);
