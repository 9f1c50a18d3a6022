/* core/mapped_sources.h: files that are mapped as guest RAM must not shrink: the kernel then takes the pages away, those too that
 * the guest has written since (mmap(2), "SIGBUS"; truncation unmaps private copies as well).
 * Owns:    nothing; the descriptor returned belongs to the caller.
 * Threads: session thread.
 * Blocks:  no. */
#pragma once

#include "core/base/err.h"
#include "core/model/page_map.h"

/* An inotify descriptor, readable when one of the sources was written or cut; nonblocking. What the file system does not tell (NFS)
 * shows as a KVM error when the guest touches it. */
int mapped_sources_watch(const struct page_map *map, int *ret_fd, struct err *e);

/* Empties the descriptor. */
void mapped_sources_drain(int fd);

/* True when a source is shorter than it was: then *e says where, kind ERR_LOST. */
bool mapped_sources_shrunk(const struct page_map *map, struct err *e);
