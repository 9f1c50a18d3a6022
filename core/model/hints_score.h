/* core/model/hints_score.h: what hints are worth, judged by recordings of other runs.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never.
 *
 *   T  the pages that the judged run touched                          recall              |T and H| / |T|
 *   H  the pages that would be brought ahead                          of the foreseeable  |T and H| / |T and F|
 *   F  the pages that can be foreseen at all: those that at least     precision           |H and T| / |H|
 *      one of the recordings that H was merged from touched           waste               |H without T| * 4096 bytes
 *
 * All three without pages that are zero in the snapshot: these cost no fault and nothing to bring; they are counted apart. */
#pragma once

#include "core/base/bitmap.h"
#include "core/model/hints_merge.h"

struct hints_score_counts {
        uint64_t touched, touched_zero;  /* |T|, by the phase of the touch; zero pages apart */
        uint64_t foreseeable;            /* |T and F|, by the phase of the touch */
        uint64_t recalled;               /* |T and H|, by the phase of the touch */
        uint64_t hinted, hinted_zero;    /* |H|, by the phase of the hint */
        uint64_t used;                   /* |H and T|, by the phase of the hint */
};

struct hints_score {
        struct hints_score_counts phase[HINT_PHASES];
        struct hints_score_counts all;
};

/* Which pages can be foreseen: a bit each. */
struct hints_foreseen {
        struct bitmap pages;
        bool          known;
};

/* F by the recordings that h was merged from; nr 0: by h itself, which has them all where no page was left out. Else it is not
 * known. */
int  hints_foreseen_init(struct hints_foreseen *f, const struct hints_named *h, const struct hints_named *from, size_t nr,
                         struct err *e);
void hints_foreseen_free(struct hints_foreseen *f); /* accepts a zeroed one */

/* Judges h, of which pages seen in min_seen recordings count, by one recording, and adds what came of it to *sum. -EBADMSG where
 * they are of different snapshots, naming both. foreseeable stays 0 where f does not know. */
int hints_score_add(const struct hints_named *h, uint32_t min_seen, const struct hints_foreseen *f,
                    const struct hints_named *recording, struct hints_score *sum, struct err *e);
