/* core/model/hints_summary.h: hints in a few numbers, phase by phase.
 * Owns:    struct hints_summary its histogram; hints_summary_free gives it back.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/model/hints.h"

struct hints_phase_summary {
        uint64_t pages, zero_pages;       /* zero_pages: of them, those that the snapshot has as zeros */
        uint64_t written, differs;        /* first touched by a write; other bytes at the end */
        uint64_t runs;                    /* of neighbouring pages */
        uint32_t first_us, last_us;       /* of their first touches; 0 without pages */
};

struct hints_summary {
        struct hints_phase_summary phase[HINT_PHASES];
        struct hints_phase_summary all;
        uint64_t                  *seen; /* [n]: pages that were seen in n recordings, 1..recordings */
        uint64_t                   kept; /* pages that a replay brings: hints_min_seen */
};

int  hints_summary_make(const struct hints *h, struct hints_summary *ret); /* 0 or -ENOMEM */
void hints_summary_free(struct hints_summary *s);                           /* accepts a zeroed one */

/* "until T3", "until T4", "later". */
const char *hint_phase_name(enum hint_phase p);
