/* core/huge_pool.h: the host's pool of 2 MiB pages: is there enough, and what to do where there is not.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"

#include <stdint.h>

/* Pages that neither are in use nor promised to somebody. */
uint64_t huge_pool_to_be_had(void);
/* 0, or a refusal: bytes are no whole 2 MiB pages. */
int huge_pool_check_size(uint64_t bytes, struct err *e);
/* 0, or a refusal with the command that mends it: bytes are no whole 2 MiB pages, no such pages on this host, or fewer than
 * needed that neither are in use nor promised to somebody. Several who ask at once may all be told yes: the mmap decides. */
int huge_pool_check(uint64_t need_bytes, struct err *e);
/* The refusal alone: need_bytes were not to be had. */
int huge_pool_refuse(uint64_t need_bytes, struct err *e);
