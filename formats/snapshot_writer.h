/* formats/snapshot_writer.h: the contract of a format that can be written: a snapshot directory is there whole, or not at all.
 * Owns:    a writer its temporary directory until commit; free removes it when there was none.
 * Threads: one at a time.
 * Blocks:  on the file system; commit waits for fsync.
 *
 *   check ─► new ─► pages ... ─► state ─► commit ─► free
 *            at any point, free alone: nothing is left behind */
#pragma once

#include "core/base/err.h"
#include "core/model/hints.h"
#include "core/model/identity.h"
#include "core/model/mem_layout.h"
#include "core/model/vm_state.h"
#include "formats/parent_place.h"

struct snapshot_writer;

struct snapshot_writer_options {
        const char     *path;       /* the directory to be; must not exist, or be empty, unless replace */
        bool            replace;    /* exchange it by RENAME_EXCHANGE (only with another snapshot), then remove the old one */
        uint64_t        ram_pages;
        uint64_t        need_bytes; /* refused at once, -ENOSPC, when the file system has less free; 0: not checked */
        struct identity parent;     /* empty: none */
        const struct parent_place *parent_place; /* borrowed until state; NULL where there is no parent */
        bool            pack;       /* by LZ4: for a writer whose `packs` says so */
        int             pack_level;
};

struct snapshot_writer_counts {
        uint64_t data_pages, zero_pages, parent_pages; /* so far */
        uint64_t stored_bytes;                         /* of data pages on disk */
};

struct snapshot_writer_ops {
        const char *name;
        bool        packs; /* it can pack pages */
        /* Can this format hold such a machine? -ENOTSUP with what it has no place for. Costs nothing: asked before pages are
         * fetched, so that who cannot be saved is told at once. state asks again. */
        int (*check)(const struct vm_state *vm, struct err *e);
        /* What its reader must be told and the files do not say: a line each. */
        void (*advise)(const struct vm_state *vm, void (*say)(void *arg, const char *text), void *arg);
        /* Makes the temporary directory (".NAME.XXXXXX.rouse-tmp", mode 0700) beside path. */
        int (*new)(const struct snapshot_writer_options *o, struct snapshot_writer **ret, struct err *e);
        /* The next nr_pages pages of RAM, ascending and without a gap over all calls. bytes NULL: all zero. Pages of zeros take
         * no room. Safe to call while the guest is paused: no fsync. */
        int (*pages)(struct snapshot_writer *w, const void *bytes, uint64_t nr_pages, struct err *e);
        /* The next nr_pages are as the parent has them. NULL: this format knows no parents. */
        int (*parent_pages)(struct snapshot_writer *w, uint64_t nr_pages, struct err *e);
        /* All RAM pages must have been given. */
        int (*state)(struct snapshot_writer *w, const struct vm_state *vm, const struct mem_layout *l, struct err *e);
        /* Hints for the same RAM become those of the snapshot that is written. NULL: the format has no place for them; they are
         * kept beside it, by the identity that commit tells. Before commit. */
        int (*hints)(struct snapshot_writer *w, const struct hints *h, struct err *e);
        /* fsync of every file and directory, then the rename. *ret_identity is what a reader will find. */
        int (*commit)(struct snapshot_writer *w, struct identity *ret_identity, struct err *e);
        struct snapshot_writer_counts (*counts)(const struct snapshot_writer *w);
        void (*free)(struct snapshot_writer *w); /* accepts NULL */
};

extern const struct snapshot_writer_ops native_writer_ops, sv_writer_ops;

/* Does it pack, and is that a level of LZ4? Else ERR_USAGE. Asked before `new`. */
int snapshot_writer_check_pack(const struct snapshot_writer_ops *ops, int level, struct err *e);

/* "native", "stratovirt"; NULL: native. An unknown name: ERR_USAGE with those there are, and NULL. */
const struct snapshot_writer_ops *snapshot_writer_find(const char *format, struct err *e);
