/* formats/data_path.h: where rouse keeps what it knows about snapshots that are not its own: DATA_DIR/KIND/IDENTITY.
 * Owns:    the path returned belongs to the caller.
 * Threads: any.
 * Blocks:  data_path_make on the file system. */
#pragma once

#include "core/base/err.h"
#include "core/model/identity.h"

/* kind: "index", "hints". An identity that could lead elsewhere is refused (-EINVAL). */
int data_path(const char *data_dir, const char *kind, const struct identity *id, char **ret, struct err *e);
/* The same, and its directories are there afterwards (0700). */
int data_path_make(const char *data_dir, const char *kind, const struct identity *id, char **ret, struct err *e);
