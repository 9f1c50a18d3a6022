/* formats/table_file.h: the one shape of rouse's small files: a header, entries of one size, page checksums, all under checksums.
 * Owns:    struct table_file owns its arrays; table_file_free gives them back and accepts a zeroed one.
 * Threads: any.
 * Blocks:  on the file system.
 *
 *   +--------------------------------------------------------------------------+
 *   | struct table_header   168 bytes; header_sum is over the rest of it        |
 *   +--------------------------------------------------------------------------+
 *   | struct table_packing  48 bytes; packing_sum likewise: packed `pages` only |
 *   +--------------------------------------------------------------------------+
 *   | entries               nr_entries * entry_bytes; entries_sum is over them  |
 *   +--------------------------------------------------------------------------+
 *   | sums                  nr_sums * 8: XXH3-64 of each raw page; sums_sum     |
 *   +--------------------------------------------------------------------------+
 *   | chunks                nr_chunks * 24; chunks_sum: packed `pages` only     |
 *   +--------------------------------------------------------------------------+
 *
 * `pages` of a native snapshot: entries are runs, with sums (version 1), or with chunks (version 2, that an older rouse refuses).
 * A page index: runs, no sums. `hints`: hints, no sums.
 * Numbers are little-endian; every sum is XXH3-64 with seed 0. */
#pragma once

#include "core/base/err.h"
#include "core/model/identity.h"
#include "core/model/page_map.h"
#include "formats/part.h"

#include <assert.h>
#include <stddef.h>

struct table_header {
        char     magic[8];
        uint32_t version;
        uint32_t entry_bytes;
        char     identity[IDENTITY_MAX]; /* of the snapshot it belongs to, NUL-filled */
        uint64_t ram_pages;
        uint64_t nr_entries;
        uint64_t nr_sums;
        uint32_t recordings; /* hints only */
        uint32_t min_seen;   /* hints only: pages that fewer recordings have were left out; else 0 */
        uint64_t entries_sum;
        uint64_t sums_sum;
        uint64_t header_sum; /* over everything before it */
};
static_assert(IDENTITY_MAX == 96, "on-disk header");
static_assert(sizeof(struct table_header) == 168, "on-disk header");
static_assert(offsetof(struct table_header, ram_pages) == 112, "on-disk header");
static_assert(offsetof(struct table_header, header_sum) == 160, "on-disk header");

/* How the chunks of packed runs were made. */
struct table_packing {
        uint64_t nr_chunks;
        uint64_t chunks_sum;
        uint32_t chunk_pages; /* of every chunk of a run but its last */
        uint32_t codec;       /* enum table_codec */
        int32_t  level;       /* for whoever wants to know */
        uint32_t reserved;    /* 0 */
        uint64_t reserved2;   /* 0 */
        uint64_t packing_sum; /* over everything before it */
};
static_assert(sizeof(struct table_packing) == 48, "on-disk packing");
static_assert(offsetof(struct table_packing, packing_sum) == 40, "on-disk packing");

enum table_codec { TABLE_CODEC_LZ4 = 1 };

/* Pages that were packed together. */
struct table_chunk {
        uint64_t file_offset_bytes; /* in `memory`, where chunks lie back to back */
        uint32_t packed_bytes;      /* nr_pages * 4096: not packed, it would not have become smaller */
        uint16_t nr_pages;
        uint16_t reserved; /* 0 */
        uint64_t sum;      /* XXH3-64 of the unpacked bytes */
};
static_assert(sizeof(struct table_chunk) == 24, "on-disk chunk");
static_assert(offsetof(struct table_chunk, sum) == 16, "on-disk chunk");

/* A run of `pages` and of a page index. */
struct table_run {
        uint64_t first_page;
        uint64_t nr_pages;
        uint32_t kind; /* enum table_run_kind */
        uint32_t source;
        uint64_t file_offset_bytes; /* raw; packed: the number of its first chunk, which begins with first_page */
        uint64_t first_sum;         /* raw */
};
static_assert(sizeof(struct table_run) == 40, "on-disk run");
static_assert(offsetof(struct table_run, file_offset_bytes) == 24, "on-disk run");

enum table_run_kind { TABLE_RUN_ZERO = 1, TABLE_RUN_RAW = 2, TABLE_RUN_PACKED = 3, TABLE_RUN_PARENT = 4 };

/* What tells one of these files from another. */
struct table_kind {
        char     magic[9]; /* 8 characters */
        uint32_t version;     /* what is written */
        uint32_t entry_bytes;
        const struct table_kind *older; /* that is read as well, or NULL */
        bool     packed;      /* it has a struct table_packing and chunks */
        bool     parents;     /* runs may be left to a parent */
};
extern const struct table_kind table_pages, table_pages_packed, table_index, table_hints;

struct table_file {
        const struct table_kind *kind; /* as it was read: what was asked for, or an older one */
        struct identity identity;
        uint64_t        ram_pages;
        uint32_t        recordings, min_seen;
        uint64_t        nr_entries, nr_sums;
        void           *entries;
        uint64_t       *sums; /* NULL when nr_sums is 0; read: a mapping of the file */
        struct sums_file sums_file;
        uint64_t        entries_sum, sums_sum; /* as the header has them; used by table_file_read alone */
        struct table_packing packing; /* zeros where nothing is packed */
        struct table_chunk  *chunks;  /* NULL where there are none */
};

void table_file_free(struct table_file *t);

/* The header (of a file of kind k, or of an older one), whose identity and ram_pages the caller compares with its snapshot's
 * before it asks for more: then no count asks for more memory than that snapshot's RAM has pages for. Damaged: -EBADMSG naming
 * `name` and the offset. ret owns no array yet. */
int table_file_read_header(const struct part *p, const char *name, const struct table_kind *k, struct table_file *ret,
                           struct err *e);

/* The arrays of a file whose header is in *t, under their checksums. On failure *t is as it was. What the entries say is not
 * checked. */
int table_file_read(const struct part *p, const char *name, struct table_file *t, struct err *e);

/* The bytes of the file, in a buffer for the caller to free. */
int table_file_pack(const struct table_kind *k, const struct table_file *t, void **ret, size_t *ret_len, struct err *e);

/* The runs of a map as entries (an array for the caller to free), and back: appended to an empty map. */
int table_runs_pack(const struct page_map *m, struct table_run **ret);
int table_runs_unpack(const struct table_file *t, const char *name, struct page_map *map, struct err *e);

/* The chunks of a map as a file has them, and back: as the map's own. What they say is page_map_check's to look at. */
int table_chunks_pack(const struct page_map *m, struct table_chunk **ret);
int table_chunks_unpack(const struct table_file *t, const char *name, struct page_map *map, struct err *e);
