/* formats/native_write.h: writes a native snapshot directory atomically: it is there whole or not at all.
 * Owns:    the temporary directory until commit; native_writer_free removes it when there was none.
 * Threads: one at a time.
 * Blocks:  on the file system; commit waits for fsync. */
#pragma once

#include "core/base/err.h"
#include "core/model/hints.h"
#include "core/model/identity.h"
#include "core/model/mem_layout.h"
#include "core/model/vm_state.h"
#include "formats/parent_place.h"

struct native_writer;

struct native_writer_options {
        const char      *path;       /* the directory to be; must not exist unless replace */
        /* exchange it by RENAME_EXCHANGE (only with another rouse snapshot), then remove the old one */
        bool             replace;
        uint64_t         ram_pages;
        uint64_t         need_bytes; /* refused at once, -ENOSPC, when the file system has less free; 0: not checked */
        struct identity  parent;     /* empty: none */
        const struct parent_place *parent_place; /* borrowed until native_writer_state; NULL: not known */
        bool             pack;       /* by LZ4, at pack_level */
        int              pack_level;
        uint32_t         chunk_pages; /* packed together; 0: as it is best (native_pack.h) */
};

/* Makes the temporary directory (".NAME.XXXXXX.rouse-tmp", mode 0700) beside path. */
int native_writer_new(const struct native_writer_options *o, struct native_writer **ret, struct err *e);

/* The next nr_pages pages of RAM, ascending and without a gap over all calls. bytes NULL: all zero. Pages of zeros become zero
 * runs; data is written at its RAM offset of `memory` and summed, or packed into chunks that lie back to back. Safe to call while
 * the guest is paused: no fsync. */
int native_writer_pages(struct native_writer *w, const void *bytes, uint64_t nr_pages, struct err *e);

/* The next nr_pages pages are the parent's: holes in `memory`. */
int native_writer_parent_pages(struct native_writer *w, uint64_t nr_pages, struct err *e);

/* vm_state and layout into `state` (with a fresh UUID), the page map into `pages`; all RAM pages must have been given. */
int native_writer_state(struct native_writer *w, const struct vm_state *vm, const struct mem_layout *l, struct err *e);

/* Hints for the same RAM, into `hints`, as those of the snapshot that is written, whatever theirs was. Once, before the
 * commit. */
int native_writer_hints(struct native_writer *w, const struct hints *h, struct err *e);

/* fsync of every file and directory, then the rename. ret_identity may be NULL. */
int native_writer_commit(struct native_writer *w, struct identity *ret_identity, struct err *e);

/* Data and zero pages so far. */
struct native_writer_counts {
        uint64_t data_pages, zero_pages, parent_pages;
        uint64_t stored_bytes; /* of data pages in `memory` */
};
struct native_writer_counts native_writer_counts(const struct native_writer *w);

void native_writer_free(struct native_writer *w); /* accepts NULL */
