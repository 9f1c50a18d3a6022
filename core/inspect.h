/* core/inspect.h: a snapshot as a file: what is in it, is it whole, where are its zeros. Nothing is started.
 * Owns:    struct inspection owns what it shows; inspect_close gives it back.
 * Threads: any, one at a time.
 * Blocks:  inspect_verify and inspect_index read all of memory. */
#pragma once

#include "core/base/err.h"
#include "core/model/hints_summary.h"
#include "core/model/identity.h"
#include "core/model/mem_layout.h"
#include "core/model/page_map.h"
#include "core/model/vm_state.h"

struct snapshot;

/* One snapshot of a chain. */
struct inspect_level {
        const char     *path, *format;
        struct identity identity;
        uint64_t        data_pages, used_pages; /* that it holds itself; of those, that the one that is looked at still needs */
};

struct inspection {
        const char              *path, *format, *version;
        struct identity          identity, parent; /* parent.s empty: none */
        const struct vm_state   *vm;
        const struct mem_layout *layout;
        const struct page_map   *pages;
        bool                     verifiable, partly; /* partly: some pages have checksums, others none */
        size_t                   nr_levels; /* of its chain, itself first; 0: it needs no parent */
        struct inspect_level    *levels;
        size_t                   nr_notes;
        const char              *notes[8];
        const struct err        *index; /* why a page index that is there is not used; NULL: it is, or there is none */
        bool                     has_hints; /* for this snapshot, in it or in data_dir */
        uint32_t                 nr_recordings;
        struct hints_summary     hints;
        struct snapshot         *snapshot;
};

struct inspect_options {
        const char        *format;   /* insist, or NULL */
        const char        *data_dir; /* where indexes and hints are kept by identity, or NULL */
        const char *const *bases;    /* where parents are now */
        size_t             nr_bases;
};
/* Opens and checks it and its parents, as a restore would. Errors as of snapshot_open. */
int  inspect_open(const char *path, const struct inspect_options *o, struct inspection *ret, struct err *e);
void inspect_close(struct inspection *i); /* accepts a zeroed one */

typedef void (*inspect_progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes);

struct inspect_verified {
        uint64_t data_pages, zero_pages, checked_pages, bad_pages;
};
/* Every byte read, every checksum checked. ret is filled also when pages are bad. */
int inspect_verify(const struct inspection *i, inspect_progress progress, void *arg, struct inspect_verified *ret, struct err *e);

/* Looks for zero pages now and writes the page map beside the snapshot. A native snapshot has its own: -EALREADY.
 * *i shows the new map afterwards. */
int inspect_index(struct inspection *i, struct err *e);
/* The same, kept by identity in data_dir, as a restore keeps it that finds none: nothing is written beside the snapshot. */
int inspect_keep_index(struct inspection *i, const char *data_dir, struct err *e);
