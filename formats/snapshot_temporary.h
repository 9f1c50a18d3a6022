/* formats/snapshot_temporary.h: the temporary directory beside a snapshot's name, ".NAME.XXXXXX.rouse-tmp": locked by whoever
 * writes it, so that one whose lock is free is a leftover of a rouse that was killed.
 * Owns:    the name and the descriptor returned belong to the caller; the lock lives as long as the descriptor.
 * Threads: any; other processes may do the same beside the same name at the same time.
 * Blocks:  on the file system, never on a lock. */
#pragma once

#include "core/base/err.h"

/* Makes one for `name` in the directory parent_fd (path is what messages call the two together), mode 0700, and locks it. */
int snapshot_temporary_new(int parent_fd, const char *name, const char *path, char **ret_temporary, int *ret_fd, struct err *e);

/* Removes the leftovers beside `name`: as far as it can, it is a courtesy. */
void snapshot_temporary_sweep(int parent_fd, const char *name);

/* Removes one: the files of a snapshot, and then the directory if nothing else is in it. */
void snapshot_temporary_remove(int parent_fd, const char *temporary);

/* Opens the directory `name`, which may be a snapshot too, and locks it (flock: on a network file system it may hold on this host
 * only). It is no directory: -ENOTDIR; somebody else has it: -EBUSY; it went away meanwhile: -ENOENT. Returns the descriptor. */
int snapshot_lock(int parent_fd, const char *name);
