/* formats/section_file.h: a file of named sections, each under its checksum: built in memory, and taken apart.
 * Owns:    struct section_out its buffer. struct sections borrows the bytes that it was made from.
 * Threads: one at a time.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"
#include "formats/native_layout.h"

#include <stdbool.h>

/* --- writing --- */
struct section_out {
        uint8_t *bytes;
        size_t   len, cap;
        uint32_t nr;
        int      failed; /* the first -errno; later adds do nothing, section_out_finish reports it */
};

void section_out_free(struct section_out *o);
/* head and tail are written one after the other; either may be empty. */
void section_out_add(struct section_out *o, const char *name, const void *head, size_t head_len, const void *tail,
                     size_t tail_len);
/* Puts the header in front: the file is [bytes, bytes + len). -ENOMEM, -E2BIG for a file that no reader would take. */
int section_out_finish(struct section_out *o);

/* --- reading --- */
struct section {
        char           name[NATIVE_NAME_MAX];
        uint64_t       name_sum; /* what a search looks at first: 254 vCPUs have 3500 sections, and lack some */
        uint32_t       version;
        const uint8_t *bytes;
        uint64_t       len;
        uint64_t       offset_bytes; /* of bytes in the file */
        bool           used;         /* somebody asked for it */
};

struct sections {
        const char     *file;
        size_t          nr;
        size_t          next; /* where the next search begins: they are asked for in the order they were written in */
        struct section *v;
};

void sections_free(struct sections *s);
/* Checks the header, every length and every checksum. */
int sections_read(const char *file, const uint8_t *bytes, size_t len, struct sections *ret, struct err *e);
/* The section of this name, marked as used; NULL: there is none. */
struct section *sections_find(struct sections *s, const char *name);
/* A section nobody asked for yet, from index *i on; NULL: no more. A second section of a name that was used: -EBADMSG by
 * sections_check_unused. */
const struct section *sections_unused(const struct sections *s, size_t *i);
int sections_check_unused(const struct sections *s, struct err *e);
