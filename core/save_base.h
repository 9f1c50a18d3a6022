/* core/save_base.h: a snapshot over a base: only what is not as the base has it is written.
 * Owns:    struct save_base its open base, buffers and paths; save_base_close gives them back.
 * Threads: session thread.
 * Blocks:  save_base_open on the file system; save_base_write reads the base where pages must be compared.
 *
 *   page                                       base that this VM comes from        another base
 *   never fetched, or still the file's         the base's                          (fetched first) compared
 *   nothing there                              zero                                zero
 *   in RAM, changes tracked                    the base's, if nobody wrote it      compared
 *   in RAM, not tracked                        compared                            compared */
#pragma once

#include "core/lineage.h"
#include "core/ram_origin.h"
#include "formats/format.h"
#include "formats/page_reader.h"
#include "formats/snapshot_writer.h"

struct session;

struct save_base_counts {
        uint64_t unfetched_pages; /* left to the base without a look */
        uint64_t clean_pages;     /* the same, as nobody wrote them: changes were tracked */
        uint64_t compared_pages;
        uint64_t same_pages;      /* of those: as the base has them */
};

struct save_base {
        struct snapshot     snap;
        struct parent_place place;
        bool                known; /* this VM comes from it: what was never fetched is as it has it */
        uint32_t            epoch; /* of the lineage, where known */
        uint8_t            *ours, *theirs; /* PRESENCE_PAGES_MAX pages each */
        struct save_base_counts n;
};

/* dir: the base. child: the directory that will be written, which must not be a part of its chain. */
int  save_base_open(struct save_base *b, const struct session *s, const char *dir, const char *child, struct err *e);
void save_base_close(struct save_base *b); /* accepts a zeroed one */

/* All pages, in order, to the writer. Guest and devices stand still, and what was written since is marked in the lineage.
 * asked: called every 2 MiB; an error of it ends the walk. */
int save_base_write(struct save_base *b, const struct session *s, const struct snapshot_writer_ops *ops,
                    struct snapshot_writer *w, int (*asked)(void *arg, struct err *e), void *arg, struct err *e);
