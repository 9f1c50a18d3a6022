/* core/mapped_sources.h: files that are mapped as guest RAM must not change: a file that is cut takes the guest's pages away,
 * those too that the guest has written since (truncation unmaps private copies), and one that is written shows in pages not yet
 * touched.
 * Owns:    nothing; the descriptor returned belongs to the caller.
 * Threads: session thread.
 * Blocks:  no. */
#pragma once

#include "core/base/err.h"
#include "core/plan.h"

/* An inotify descriptor, readable when one of the sources that the plan maps was written or cut; nonblocking. 0 or -errno:
 * without it a change shows only when the VM ends or KVM fails. */
int mapped_sources_watch(const struct plan *plan, const struct page_map *map, int *ret_fd);

/* Empties the descriptor. */
void mapped_sources_drain(int fd);

/* True when a source that the plan maps is no longer what page_map holds of it (size, mtime): then *e says so, kind ERR_LOST. */
bool mapped_sources_changed(const struct plan *plan, const struct page_map *map, struct err *e);
