/* core/indexer.h: finds the zero pages of a foreign memory file in the background and keeps the page map by the snapshot's
 * identity.
 * Owns:    one thread at idle priority.
 * Threads: started and freed by the session thread; borrows the snapshot until then.
 * Blocks:  indexer_free until the thread has stopped (it looks every MiB). */
#pragma once

#include "core/base/err.h"
#include "formats/format.h"

struct indexer;

/* -errno only where there is no memory or no thread; what goes wrong later is the outcome. Both are borrowed until indexer_free. */
int indexer_start(const struct snapshot *s, const char *data_dir, struct indexer **ret, struct err *e);
/* True once it has ended by itself; then *ret is its outcome (code 0: kept). */
bool indexer_ended(const struct indexer *i, struct err *ret);
void indexer_free(struct indexer *i); /* stops it; accepts NULL */
