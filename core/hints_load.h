/* core/hints_load.h: hints as files, for those who merge, judge and show them: of whatever snapshot they are.
 * Owns:    what is read belongs to the caller (hints_free, hints_named_free).
 * Threads: any.
 * Blocks:  on the file system. */
#pragma once

#include "core/model/hints_merge.h"

/* path: a hints file, or a snapshot's directory: then those that a restore of it would find by itself. data_dir may be NULL. */
int hints_load(const char *path, const char *data_dir, struct hints *ret, struct err *e);

/* An array of what is in each of these files, for hints_named_free. The paths are borrowed. */
int  hints_load_all(const char *const *paths, size_t nr, const char *data_dir, struct hints_named **ret, struct err *e);
void hints_named_free(struct hints_named *v, size_t nr); /* accepts NULL */

/* To a file; "auto": where a restore of its snapshot finds it by itself (needs data_dir). Atomically, mode 0600. */
int hints_save(const char *path, const char *data_dir, const struct hints *h, struct err *e);
