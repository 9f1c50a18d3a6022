/* core/model/page_map.h: where each page of RAM is: sorted runs that cover every page exactly once.
 * Owns:    its arrays and the descriptors of its sources; page_map_free gives all back.
 * Threads: built by one thread, then read-only for all.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"
#include "core/base/units.h"
#include "core/model/page_codec.h"

#include <assert.h>
#include <stddef.h>
#include <time.h>

/* A page that its snapshot left to a parent has the parent's run: the chain is put together when a snapshot is opened
 * (page_map_put_under), so that nobody behind that meets RUN_PARENT. Remote runs get a kind of their own when something writes
 * them. */
enum run_kind {
        RUN_ZERO,   /* reads as zeros; no bytes anywhere */
        RUN_RAW,    /* nr_pages * 4096 bytes at file_offset_bytes of sources[source] */
        RUN_PACKED, /* in chunks of sources[source], from page skip_pages of chunks[first_chunk] on */
        RUN_PARENT, /* as the parent has it; in a map with is_level alone */
};

#define NO_SUM UINT64_MAX /* page_run.first_sum of a raw run that has no checksums */

struct page_run {
        uint64_t first_page; /* RAM page number */
        uint32_t nr_pages;
        uint16_t source; /* RUN_RAW, RUN_PACKED: index into sources */
        uint8_t  kind;   /* enum run_kind */
        uint8_t  reserved;
        union {
                uint64_t file_offset_bytes; /* RUN_RAW: of first_page; page-aligned */
                struct {
                        uint32_t first_chunk; /* RUN_PACKED: index into chunks of the one that holds first_page */
                        uint32_t skip_pages;  /* pages of that chunk before first_page: a child has other bytes for them */
                };
        };
        uint64_t first_sum; /* RUN_RAW in a map with sums: index into sums of first_page's, or NO_SUM */
};
static_assert(sizeof(struct page_run) == 32, "a run costs 32 bytes, and there are many");

/* Pages that were packed together: they are had together or not at all. The pages of chunk k + 1 follow those of chunk k in RAM,
 * as long as both belong to one run. Every chunk of a run but its last has chunk_pages of its source. */
struct page_chunk {
        uint64_t file_offset_bytes; /* of its packed bytes, in the source of the run */
        uint32_t packed_bytes;      /* as many as its pages have: they are stored as they are */
        uint16_t nr_pages;          /* 1 to PAGE_CHUNK_MAX */
        uint16_t reserved;
        uint64_t sum; /* XXH3-64 (seed 0) of its nr_pages * 4096 unpacked bytes */
};
static_assert(sizeof(struct page_chunk) == 24, "a chunk");

#define PAGE_CHUNK_MAX 512 /* 2 MiB */

struct page_source {
        int      fd;
        uint64_t size_bytes;   /* when it was opened */
        struct timespec mtime; /* likewise; set by page_map_add_source */
        uint32_t chunk_pages; /* of its packed runs; 0: it has none */
        int32_t  pack_level;  /* for whoever wants to know */
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
        /* Many, and few of them needed at once: they are a mapping of the file that has them, where it has one. They are read by
         * page_sums.h, and never there: of a mapped file that is cut nothing is left but a SIGBUS. */
        struct sums_file {
                void    *mapping; /* NULL: `sums` is memory of our own */
                size_t   mapping_bytes;
                int      fd;
                uint64_t offset_bytes; /* of sums[0] */
        } sums_file;
        size_t                   nr_chunks;
        struct page_chunk       *chunks;
        const struct page_codec *codec; /* unpacks chunks; NULL where there are none */
        /* False for a foreign memory file that nobody has looked through yet: zero pages hide in its raw runs. */
        bool zeros_known;
        bool is_level; /* one snapshot of a chain, by itself: RUN_PARENT may be in it */
};

/* A map of so many pages without a run or source yet. */
void page_map_init(struct page_map *m, uint64_t nr_pages);
void page_map_free(struct page_map *m); /* accepts a zeroed map; closes the sources */

/* Takes the descriptor, also on failure. Returns the source's index or -ENOMEM. */
int page_map_add_source(struct page_map *m, int fd, uint64_t size_bytes, const char *name);

/* Makes `sums`, if it is mapped, memory of our own. 0, -ENOMEM, or why the file cannot be read (page_sums_copy). */
int page_map_own_sums(struct page_map *m);
void sums_file_close(struct sums_file *f); /* accepts a zeroed one */

/* Was it written or cut since it was opened? *ret_size_bytes: what it has now. */
bool page_source_is_changed(const struct page_source *src, uint64_t *ret_size_bytes);

/* Appends a run that must begin where the last one ended; joins it with the last one where both go on without a seam. */
int page_map_append(struct page_map *m, const struct page_run *run); /* 0, -EINVAL or -ENOMEM */

/* Every rule of the header: full cover, sources in range, extents page-aligned and inside their source, sums in range. */
int page_map_check(const struct page_map *m, struct err *e);

/* The run that holds page, or NULL past the end. O(log runs). */
const struct page_run *page_map_find(const struct page_map *m, uint64_t page);

/* Where a page of a packed run is. */
struct chunk_place {
        const struct page_chunk *chunk;
        uint64_t                 first_page; /* RAM page of the chunk's first page; it may lie before the run */
};
struct chunk_place page_map_find_chunk(const struct page_map *m, const struct page_run *run, uint64_t page);

/* The checksums of a raw run, from its first page on; NULL where it has none. */
static inline const uint64_t *run_sums(const struct page_map *m, const struct page_run *run)
{
        return m->sums && run->first_sum != NO_SUM ? m->sums + run->first_sum : NULL;
}

struct page_counts {
        uint64_t zero_pages, raw_pages, packed_pages, parent_pages;
};
struct page_counts page_map_count(const struct page_map *m);

/* What its chunks are, all of them together; of chunk_pages and level, those of the first source that has any. */
struct page_packing {
        uint64_t nr_chunks, unpacked_bytes, packed_bytes, stored_chunks; /* stored: they would not have become smaller */
        uint32_t chunk_pages;
        int32_t  level;
};
struct page_packing page_map_packing(const struct page_map *m);

/* Compares runs, not sources. */
bool page_map_equal(const struct page_map *a, const struct page_map *b);

/* --- chains: page_map_chain.c --- */

/* True while a page is left to a parent. */
bool page_map_needs_parent(const struct page_map *m);

/* Puts what *parent says in the place of every RUN_PARENT of *m; what it leaves to its own parent stays RUN_PARENT. Its sources
 * become *m's, behind those that are there, its sums and chunks are copied as far as they are used; it is left without sources.

 * -EINVAL: they have not the same number of pages; -ENOTSUP: two codecs; -EBADMSG: a file of sums was cut meanwhile. On failure *m is only good to be freed. */
int page_map_put_under(struct page_map *m, struct page_map *parent);

/* The same for the runs alone, of maps without sums and chunks: source k of *parent is source_shift + k of *m. A parent without
 * runs counts as zeros. */
int page_map_put_runs_under(struct page_map *m, const struct page_map *parent, uint16_t source_shift);
