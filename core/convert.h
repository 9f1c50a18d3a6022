/* core/convert.h: a snapshot of one format written as another, a chain of them as one that needs no parent. Nothing is started.
 * Owns:    nothing.
 * Threads: any, one at a time.
 * Blocks:  reads all of the source's memory, writes as much, and waits for it to be on disk. */
#pragma once

#include "core/base/err.h"
#include "core/model/identity.h"

#include <stdbool.h>
#include <stdint.h>

struct convert_options {
        const char *src, *dst;  /* dst must not exist, or be an empty directory, unless replace */
        bool        replace;    /* a snapshot that is there already is exchanged */
        const char *format;     /* to write: "native", "stratovirt"; NULL: native */
        bool        pack;       /* by LZ4 (native only) */
        int         pack_level;
        const char *data_dir;   /* where page indexes are kept by identity, or NULL */
        /* hints of src, which dst gets for its own; NULL: those that a restore of src would find, if any; "none" */
        const char *hints_path;
        const char *const *bases; /* where parents of src are now */
        size_t nr_bases;
        /* Asked every 2 MiB: true gives up, -ECANCELED. Not any more while dst is put on disk. May be NULL. */
        bool (*cancelled)(void *arg);
        void *cancelled_arg;
        /* Bytes read and bytes to read, a few times a second at most; may be NULL. */
        void (*progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes);
        void *progress_arg;
        /* A line that the user should see; may be NULL. */
        void (*say)(void *arg, const char *text);
        void *say_arg;
};

struct convert_report {
        const char     *from, *to; /* the formats' names */
        uint64_t        data_bytes, zero_bytes;
        uint64_t        stored_bytes; /* of data pages, in dst */
        uint64_t        hints;        /* pages of hints that dst got */
        struct identity identity; /* of dst */
};

/* Every page whose checksum the source has is held against it, and the source must not change meanwhile. Whatever fails, dst is
 * then what it was before. */
int snapshot_convert(const struct convert_options *o, struct convert_report *ret, struct err *e);
