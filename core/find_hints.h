/* core/find_hints.h: which hints "auto" means: those that were recorded here and are kept by the snapshot's identity, else
 * those in a native snapshot.
 * Owns:    nothing; what is read belongs to the caller (hints_free).
 * Threads: any.
 * Blocks:  on the file system. */
#pragma once

#include "core/model/hints.h"
#include "formats/format.h"

/* -ENOENT where there are none; hints that are damaged or of another snapshot are an error, with its text, and are not passed
 * over. */
int hints_find(const struct snapshot *s, const char *data_dir, struct hints *ret, struct err *e);
