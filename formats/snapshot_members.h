/* formats/snapshot_members.h: which files a snapshot directory has: what replaces or removes one touches these and no others.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  on the file system. */
#pragma once

#include "core/base/err.h"

/* A directory that has anything else: -EEXIST, naming it. path is what messages call the directory. */
int snapshot_members_only(int dir_fd, const char *path, struct err *e);

/* Removes them, where they are there. */
void snapshot_members_unlink(int dir_fd);
