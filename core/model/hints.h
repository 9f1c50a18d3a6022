/* core/model/hints.h: what a guest touched after a restore, in first-touch order; bound to the snapshot it was recorded from.
 * Owns:    its array.
 * Threads: plain data; one at a time while it is built, then read-only.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"
#include "core/model/identity.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* When a page was first touched. */
enum hint_phase {
        HINT_PHASE_T3,    /* before the guest's first answer */
        HINT_PHASE_T4,    /* from then on, before its first useful work */
        HINT_PHASE_LATER,
        HINT_PHASES,
};

/* HINT_DIFFERS without HINT_WRITTEN: read first, written later. Such a page is better copied than mapped or shared: the write
 * would cost a copy of its own. HINT_WRITTEN without HINT_DIFFERS: written with the bytes that it had. */
enum hint_flags {
        HINT_WRITTEN = 1 << 0, /* the first touch was a write */
        HINT_DIFFERS = 1 << 1, /* its bytes differ from the snapshot's at the end of the recording */
        HINT_ZERO    = 1 << 2, /* the snapshot has zeros there: nothing to bring */
};
#define HINT_FLAGS (HINT_WRITTEN | HINT_DIFFERS | HINT_ZERO)

struct hint {
        uint32_t page;     /* RAM page number: 16 TiB of RAM */
        uint32_t seen;     /* in how many of `recordings` */
        uint32_t touch_us; /* median first touch, from the guest's first entry on; 0: not known */
        uint8_t  phase;    /* enum hint_phase */
        uint8_t  flags;    /* enum hint_flags */
        uint16_t reserved; /* 0 */
};
static_assert(sizeof(struct hint) == 16, "hints can be as many as pages");

#define HINTS_RECORDINGS_MAX 65535 /* arbitrary: nobody has the patience; a damaged file has more */

struct hints {
        struct identity snapshot;
        uint64_t        ram_pages;
        uint32_t        recordings;
        uint32_t        min_seen; /* pages that fewer recordings had were left out; 0 and 1: none was */
        size_t          nr;
        struct hint    *v; /* phase by phase, in first-touch order; no page twice */
};

void hints_free(struct hints *h);
/* Every page below ram_pages, none twice, seen in 1..recordings, phase by phase; names the first that is not. `file` is how
 * messages call it. */
int hints_check(const struct hints *h, const char *file, struct err *e);

/* In how many recordings a page must have been seen to be worth bringing ahead: of five and more, in two. What a run touches by
 * chance is then left out (a page of chance comes twice rarely), while one that every second run needs is missed in 3 of 16 files
 * of five. Of fewer recordings every page counts. */
#define HINTS_MANY 5
uint32_t hints_min_seen(const struct hints *h);

/* Drops the pages that were seen in fewer than min_seen recordings; the others stay in their order. */
void hints_keep_seen(struct hints *h, uint32_t min_seen);

/* Keeps the first max_pages: they are in the order in which they are needed. */
void hints_keep_first(struct hints *h, uint64_t max_pages);
