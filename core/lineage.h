/* core/lineage.h: the snapshots that this VM was restored from and saved as, and what changed since each: relative to which of
 * them a page is still the same.
 * Owns:    its list and, where changes are tracked, two bytes and a bit a page.
 * Threads: session thread; `written` is marked by any (core/model/written_pages.h).
 * Blocks:  never.
 *
 *   restored from A      saved as B          saved as C
 *   ├──── epoch 0 ───────┼──── epoch 1 ──────┼──── epoch 2 ...          a page that was last found written in epoch 1 is as A had it? no.
 *                                                                       As B? no. As C? yes.
 * A page that was never fetched is as all of them have it. */
#pragma once

#include "core/base/err.h"
#include "core/model/identity.h"
#include "core/model/mem_layout.h"
#include "core/model/written_pages.h"

#include <stdbool.h>
#include <stdint.h>

struct lineage {
        size_t               nr;
        struct identity     *ancestors; /* [k] begins epoch k */
        uint64_t             nr_pages;
        /* of each page: 1 + the epoch that it was found written in; 0: never. NULL: nobody tracks */
        uint16_t            *last_epoch;
        struct written_pages written;    /* by devices, since it was taken last */
};

/* id: what it was restored from; NULL: it was booted. */
int  lineage_init(struct lineage *l, const struct identity *id, uint64_t nr_pages, bool track, const uint8_t *ram, struct err *e);
void lineage_free(struct lineage *l); /* accepts a zeroed one */

static inline bool lineage_tracks(const struct lineage *l)
{
        return l->last_epoch != NULL;
}

/* A page was written in this epoch. As vm_dirty_log calls it. */
void lineage_mark(void *lineage, uint64_t page);
/* The same for all that devices have written; they must be parked. */
void lineage_take_written(struct lineage *l);

/* Which ancestor is it? *ret_epoch: the one that it began. */
bool lineage_find(const struct lineage *l, const struct identity *id, uint32_t *ret_epoch);
/* Tracked: was the page written since that epoch began, as far as was told? */
bool lineage_is_written(const struct lineage *l, uint64_t page, uint32_t since_epoch);

/* The VM as it was when all was marked is now this snapshot: a new epoch begins. */
void lineage_add(struct lineage *l, const struct identity *id);
