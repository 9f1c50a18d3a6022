/* core/base/is_zero.h: is this page all zeros? By content, as foreign snapshots store zero pages as bytes.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* len_bytes a multiple of 64, p aligned to 8. Data pages are told apart within the first words, zero pages cost one pass. */
bool is_zero(const void *p, size_t len_bytes);

/* How many of nr_pages (at least one) from the first on are like it: all zeros, or none of them. *ret_zero: which. */
uint64_t alike_pages(const uint8_t *bytes, uint64_t nr_pages, bool *ret_zero);
