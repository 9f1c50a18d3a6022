/* core/model/page_map.h: where each page of RAM is: sorted runs that cover every page exactly once.
 * Owns:    its arrays and the descriptors of its sources; page_map_free gives all back.
 * Threads: built by one thread, then read-only for all.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"
#include "core/base/units.h"

#include <stddef.h>
#include <time.h>

/* Packed, parent and remote runs get kinds of their own when something writes them. */
enum run_kind {
        RUN_ZERO, /* reads as zeros; no bytes anywhere */
        RUN_RAW,  /* nr_pages * 4096 bytes at file_offset_bytes of sources[source] */
};

struct page_run {
        uint64_t      first_page; /* RAM page number */
        uint64_t      nr_pages;
        enum run_kind kind;
        uint32_t      source;            /* RUN_RAW: index into sources */
        uint64_t      file_offset_bytes; /* RUN_RAW: of first_page; page-aligned */
        uint64_t      first_sum;         /* RUN_RAW in a map with sums: index into sums of first_page's */
};

struct page_source {
        int      fd;
        uint64_t size_bytes;   /* when it was opened */
        struct timespec mtime; /* likewise; set by page_map_add_source */
        char     name[64];   /* as messages name it: "memory" */
};

struct page_map {
        uint64_t            nr_pages; /* of RAM; the runs cover [0, nr_pages) */
        size_t              nr_runs, cap_runs;
        struct page_run    *runs;
        size_t              nr_sources;
        struct page_source *sources;
        /* XXH3-64 (seed 0) of each raw page, where the format has them; else NULL: "memory not verifiable". */
        uint64_t *sums;
        uint64_t  nr_sums;
        /* False for a foreign memory file that nobody has looked through yet: zero pages hide in its raw runs. */
        bool zeros_known;
};

void page_map_init(struct page_map *m, uint64_t nr_pages);
void page_map_free(struct page_map *m); /* accepts a zeroed map; closes the sources */

/* Takes the descriptor, also on failure. Returns the source's index or -ENOMEM. */
int page_map_add_source(struct page_map *m, int fd, uint64_t size_bytes, const char *name);

/* Was it written or cut since it was opened? *ret_size_bytes: what it has now. */
bool page_source_is_changed(const struct page_source *src, uint64_t *ret_size_bytes);

/* Appends a run that must begin where the last one ended; joins it with the last one where both go on without a seam. */
int page_map_append(struct page_map *m, const struct page_run *run); /* 0, -EINVAL or -ENOMEM */

/* Every rule of the header: full cover, sources in range, extents page-aligned and inside their source, sums in range. */
int page_map_check(const struct page_map *m, struct err *e);

/* The run that holds page, or NULL past the end. O(log runs). */
const struct page_run *page_map_find(const struct page_map *m, uint64_t page);

struct page_counts {
        uint64_t zero_pages, raw_pages;
};
struct page_counts page_map_count(const struct page_map *m);

/* Compares runs, not sources. */
bool page_map_equal(const struct page_map *a, const struct page_map *b);
