/* formats/format.h: the contract of a snapshot format, and what a snapshot is once it has been read.
 * Owns:    struct snapshot owns everything it points to; snapshot_close gives it back and accepts a zeroed one.
 * Threads: one at a time; after snapshot_open it is read-only.
 * Blocks:  on the file system. */
#pragma once

#include "core/base/err.h"
#include "core/model/identity.h"
#include "core/model/mem_layout.h"
#include "core/model/page_map.h"
#include "core/model/vm_state.h"
#include "formats/parent_place.h"

struct format_ops;

#define SNAPSHOT_NOTES_MAX 8

/* One snapshot of a chain. */
struct snapshot_level {
        char           *path;
        const char     *format;
        struct identity identity;
        uint64_t        data_pages;      /* that it holds itself */
        uint64_t        used_pages;      /* of those: that the chain's youngest still needs */
        uint16_t        first_source, nr_sources; /* in pages.sources */
};

struct snapshot {
        const struct format_ops *format;
        char                    *path;
        int                      dir_fd;
        char                     version[64]; /* "generation 3, StratoVirt 2.5.0", "version 1" */
        struct identity          identity;
        struct identity          parent; /* empty s: none */
        struct parent_place      parent_place;
        /* With what it needs of its parents, oldest last, put together in `pages`: [0] is itself. None: it needs no parent. */
        size_t                   nr_levels;
        struct snapshot_level   *levels;
        struct vm_state          vm;
        struct mem_layout        layout; /* ram NULL */
        struct page_map          pages;
        /* Where bytes for a page lie in the files, also for one that pages calls zero: raw runs, whose source is an index into
         * pages.sources (it has none of its own). What verify needs to hold pages against. No runs: zero pages have no bytes. */
        struct page_map          raw_pages;
        bool                     verifiable; /* its data pages have checksums; of a chain: those of one level at least */
        bool                     partly;     /* but not all of them: a parent has none */
        /* Why a page index that is there is not used (page_index.h); code 0: it is, or there is none. What lies beside the snapshot,
         * or beside a parent, is part of it, and verify says so; what is kept by identity is not. */
        struct err index;
        bool       index_beside;
        /* What a user should know and nothing stops for: "page index of this snapshot is stale, not used: ..." */
        size_t nr_notes;
        char   notes[SNAPSHOT_NOTES_MAX][512];
};

struct snapshot_open_options {
        const char *format;   /* insist on this format's name; NULL: look */
        const char *data_dir; /* $XDG_DATA_HOME/rouse or /var/lib/rouse, where page indexes are; NULL: none are looked for there */
        /* Directories where parents are now: looked at before those that a child names. */
        const char *const *bases;
        size_t             nr_bases;
};

struct format_ops {
        const char *name;
        /* Is it mine? Called by snapshot_open in probe order, on the caller's thread. Reads at most 4 KiB of a file, changes
         * nothing. 1 yes, 0 no, -errno when the directory cannot be read (with text). */
        int (*probe)(int dir_fd, struct err *e);
        /* Fills identity, vm, layout, pages, version, notes; path, dir_fd and format are set before. Bad input: -EBADMSG by
         * err_bad. On failure the caller calls snapshot_close on what is there. */
        int (*read)(struct snapshot *s, const struct snapshot_open_options *o, struct err *e);
};

/* Every format, in probe order: native, StratoVirt. NULL-ended. */
extern const struct format_ops *const formats[];
extern const struct format_ops format_native;
extern const struct format_ops format_stratovirt;

/* path must be a directory (itself it may be a link). None or two formats match: refused, with the names. What it leaves to
 * parents is found and put together (formats/chain.c): a parent that is missing, or is another one than the child was written
 * over, is refused. */
int  snapshot_open(const char *path, const struct snapshot_open_options *o, struct snapshot *ret, struct err *e);
/* The same, but for itself alone: pages.is_level, with RUN_PARENT where its parent is needed. */
int  snapshot_open_level(const char *path, const struct snapshot_open_options *o, struct snapshot *ret, struct err *e);
void snapshot_close(struct snapshot *s);
void snapshot_note(struct snapshot *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
