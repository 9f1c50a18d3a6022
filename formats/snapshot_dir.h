/* formats/snapshot_dir.h: a directory that appears whole under its name, or never: temporary name, fsync, rename.
 * Owns:    the temporary directory until it is published; snapshot_dir_free removes it.
 * Threads: one at a time.
 * Blocks:  on the file system; publish waits for fsync. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct snapshot_dir {
        char *path;      /* as the user gave it, without slashes at the end */
        char *name;      /* the last part of path */
        char *temporary; /* name beside it; NULL before it is made and after it is published */
        int   parent_fd;
        int   fd; /* of the directory, and its lock (snapshot_temporary.h) */
        bool  was_empty; /* an empty directory gave up its place */
};

/* Makes ".NAME.XXXXXX.rouse-tmp" beside path, and removes what killed ones left there. What is at path already: -EEXIST, unless
 * it is an empty directory, or replace and it is a snapshot of any format and nothing else (no link, and no file that is not a
 * snapshot's). */
int snapshot_dir_new(const char *path, bool replace, uint64_t need_bytes, struct snapshot_dir *ret, struct err *e);

/* fsync of the directory, the rename, fsync of its parent; the files in it have been synced. With replace the old one is then
 * removed. Whichever of these fails, path is afterwards what it was before. */
int snapshot_dir_publish(struct snapshot_dir *d, bool replace, struct err *e);

/* Accepts one made by SNAPSHOT_DIR_NONE. */
void snapshot_dir_free(struct snapshot_dir *d);
#define SNAPSHOT_DIR_NONE { .parent_fd = -1, .fd = -1 }
