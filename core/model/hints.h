/* core/model/hints.h: what a guest touched after a restore, in first-touch order; bound to the snapshot it was recorded from.
 * Owns:    its array.
 * Threads: plain data; one at a time while it is built, then read-only.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"
#include "core/model/identity.h"

#include <stddef.h>
#include <stdint.h>

struct hint {
        uint64_t page; /* RAM page number */
        uint32_t seen; /* in how many of `recordings` */
        uint32_t flags; /* 0: reserved for phase and kind of touch */
};

struct hints {
        struct identity snapshot;
        uint64_t        ram_pages;
        uint32_t        recordings;
        size_t          nr;
        struct hint    *v; /* first-touch order; no page twice */
};

void hints_free(struct hints *h);
/* Every page below ram_pages, none twice, seen in 1..recordings; names the first that is not. `file` is how messages call it. */
int hints_check(const struct hints *h, const char *file, struct err *e);
