/* formats/verify.h: reads every byte of an open snapshot and holds it against all that is known of it.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  reads all data pages, and what is on disk for zero pages. */
#pragma once

#include "formats/format.h"

struct verify_report {
        uint64_t data_pages, zero_pages, checked_pages, bad_pages;
        uint64_t first_bad_page; /* valid when bad_pages != 0 */
};

/* 0 when every page could be read and, where there are sums, matches; when what lies in a file at the place of a zero page is
 * zeros; when a page index beside the snapshot is whole (it may be stale); and when hints in a native snapshot are its own. A page
 * that is not so: -EBADMSG with the first one's place. *ret is filled in either case. progress (may be NULL) is told bytes done and bytes in all, a few times a second at most by its own
 * choice. */
int snapshot_verify(const struct snapshot *s, void (*progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes), void *arg,
                    struct verify_report *ret, struct err *e);
