/* formats/native_dir.h: a directory that appears whole under its name, or never: temporary name, fsync, rename.
 * Owns:    the temporary directory until it is published; native_dir_free removes it.
 * Threads: one at a time.
 * Blocks:  on the file system; publish waits for fsync. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct native_dir {
        char *path;      /* as the user gave it, without slashes at the end */
        char *name;      /* the last part of path */
        char *temporary; /* name beside it; NULL before it is made and after it is published */
        int   parent_fd;
        int   fd; /* of the directory, and its lock (native_temporary.h) */
};

/* Makes ".NAME.XXXXXX.rouse-tmp" beside path, and removes what killed ones left there. What is at path already: -EEXIST, unless replace
 * and it is a rouse snapshot and nothing else (no link, and no file that is not a snapshot's). */
int native_dir_new(const char *path, bool replace, uint64_t need_bytes, struct native_dir *ret, struct err *e);

/* fsync of the directory, the rename, fsync of its parent; the files in it have been synced. With replace the old one is then removed.
 * Whichever of these fails, path is afterwards what it was before. */
int native_dir_publish(struct native_dir *d, bool replace, struct err *e);

/* Accepts one made by NATIVE_DIR_NONE. */
void native_dir_free(struct native_dir *d);
#define NATIVE_DIR_NONE { .parent_fd = -1, .fd = -1 }
