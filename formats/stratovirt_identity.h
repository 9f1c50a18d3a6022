/* formats/stratovirt_identity.h: what tells one StratoVirt snapshot from another: nothing in it does.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  on the file system. */
#pragma once

#include "core/base/err.h"
#include "core/model/identity.h"

#include <stddef.h>

/* XXH3-128 of the bytes of `state`, the size of `memory` and when it was changed last (architecture.md, "identity"). */
int sv_identify(const void *state, size_t len, int memory_fd, struct identity *ret, struct err *e);
