/* formats/page_index.h: the page map of a foreign snapshot, found by looking at its memory once and kept by identity.
 * Owns:    nothing.
 * Threads: any; page_index_build may run on a background thread, `stop` ends it.
 * Blocks:  on the file system; page_index_build reads the whole memory file. */
#pragma once

#include "core/base/err.h"
#include "core/model/identity.h"
#include "core/model/page_map.h"

#include <stdatomic.h>

/* Beside a foreign snapshot (only `inspect --index` writes there), and IDENTITY in DATA_DIR/index/. */
#define PAGE_INDEX_NAME "rouse-pages"

/* Looks through every raw run of map for zero pages (by content) and returns a map with zeros_known over the same sources
 * (descriptors duplicated). -ECANCELED when *stop turns true (may be NULL). A file that ends early: -EBADMSG. */
int page_index_build(const struct page_map *map, const atomic_bool *stop, struct page_map *ret, struct err *e);

/* Writes it atomically, readable for whoever may read the memory file (its mode & 0666, less the umask). */
int page_index_write(int dir_fd, const char *name, const struct identity *id, const struct page_map *map, struct err *e);

/* Replaces the runs of *map (same sources) with those of the file. 1 done; 0 there is none; -ESTALE it is of another identity;
 * -EBADMSG it is damaged or does not fit map. Neither is ever used; the text says which file and why. */
int page_index_read(int dir_fd, const char *name, const struct identity *id, struct page_map *map, struct err *e);

/* The same at DATA_DIR/index/IDENTITY, mode 0600; directories are made (0700). */
int page_index_write_data_dir(const char *data_dir, const struct identity *id, const struct page_map *map, struct err *e);
int page_index_read_data_dir(const char *data_dir, const struct identity *id, struct page_map *map, struct err *e);
