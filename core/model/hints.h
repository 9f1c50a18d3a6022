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

enum hint_flags {
        HINT_WRITTEN = 1 << 0, /* the first touch was a write */
        HINT_DIFFERS = 1 << 1, /* its bytes differ from the snapshot's at the end of the recording */
};
#define HINT_FLAGS (HINT_WRITTEN | HINT_DIFFERS)

struct hint {
        uint32_t page;     /* RAM page number: 16 TiB of RAM */
        uint32_t seen;     /* in how many of `recordings` */
        uint32_t touch_us; /* median first touch, from the guest's first entry on; 0: not known */
        uint8_t  phase;    /* enum hint_phase */
        uint8_t  flags;    /* enum hint_flags */
        uint16_t reserved; /* 0 */
};
static_assert(sizeof(struct hint) == 16, "hints can be as many as pages");

struct hints {
        struct identity snapshot;
        uint64_t        ram_pages;
        uint32_t        recordings;
        size_t          nr;
        struct hint    *v; /* phase by phase, in first-touch order; no page twice */
};

void hints_free(struct hints *h);
/* Every page below ram_pages, none twice, seen in 1..recordings; names the first that is not. `file` is how messages call it. */
int hints_check(const struct hints *h, const char *file, struct err *e);
