/* core/plan.h: what is decided before the clock matters: which pages are served, which are left to the kernel, what is replayed.
 * Owns:    the arrays it returns belong to the caller.
 * Threads: session thread.
 * Blocks:  never. */
#pragma once

#include "core/model/hints.h"
#include "core/model/ledger.h"
#include "core/model/page_map.h"
#include "uffd/pager.h"

/* The ranges that the pager serves: every raw run; zero runs stay anonymous and unregistered, but those too short to be worth a
 * mapping of their own when there would be more than PLAN_RANGES_MAX ranges. all: one range, all of RAM (recording sees every
 * first touch). Rows for the ledger are added. 0 or -ENOMEM. */
#define PLAN_RANGES_MAX 256

/* Fault-around: pages of this many are brought along where they are cached; the kernel takes 64 KiB for file mappings too. */
#define PLAN_AROUND_PAGES 16
int plan_served(const struct page_map *map, bool all, struct pager_range **ret, size_t *ret_nr, struct ledger *ledger);

/* Takes the hints that the pager replays out of h. */
void plan_replay(struct hints *h, struct hint **ret, size_t *ret_nr);

/* Adds a row to the ledger's plan. */
void plan_row(struct ledger *l, const char *mechanism, uint64_t runs, uint64_t pages, const char *why);
