/* formats/stratovirt.h: what the parts of the StratoVirt reader hand to each other (sv_: StratoVirt).
 * Owns:    nothing; every pointer and span points into the bytes of `state` that stratovirt.c holds.
 * Threads: one.
 * Blocks:  only sv_memory_read, on the file system. */
#pragma once

#include "core/base/err.h"
#include "core/model/mem_layout.h"
#include "core/model/vm_state.h"
#include "formats/format.h"
#include "formats/json_fields.h"
#include "formats/part.h"
#include "formats/stratovirt_layout.h"

/* How every message about a damaged file ends. */
#define SV_DAMAGED "; the file is damaged, use another copy"

/* --- header --- */
struct sv_header {
        char     vendor[17]; /* CPUID leaf 0 of the CPU that the snapshot was taken on */
        uint64_t desc_len;   /* state: bytes of descriptors */
};

/* page: the first SV_HEADER_BYTES of the file; format: "Device" or "MemoryFull". */
int sv_header_read(const char *file, const uint8_t *page, const char *format, struct sv_header *ret, struct err *e);
/* The shapes that a probe knows, in len bytes from the start of `state`. */
bool sv_header_looks_new(const uint8_t *page, size_t len);
bool sv_header_looks_like_generation_1(const uint8_t *page, size_t len);
/* Another vendor's CPU than this host's is a note of s, no more: most guests go on all the same. */
void sv_header_note_vendor(const struct sv_header *h, struct snapshot *s);

/* --- descriptors --- */
struct sv_desc {
        struct json_span name, fields;
        uint64_t         alias, size, version;
        uint64_t         offset_bytes; /* in the file, for messages */
};

struct sv_descs {
        struct json_place place;
        size_t            nr;
        struct sv_desc    v[SV_DESCS_MAX];
};

int sv_descs_read(const uint8_t *state, uint64_t desc_len, struct sv_descs *ret, struct err *e);
const struct sv_desc *sv_descs_find(const struct sv_descs *all, uint64_t alias); /* NULL: none */

/* A field that must be there with exactly this size. */
struct sv_field {
        const char *name;
        uint64_t    size_bytes;
};
#define SV_FIELDS_MAX 20

/* Finds each field of the table in the descriptor: its offset in a body. Missing, of another size, outside the body or over
 * another field: refused by name. */
int sv_fields_locate(const struct sv_descs *all, const struct sv_desc *d, const struct sv_field *fields, size_t nr,
                     uint32_t ret_offsets[SV_FIELDS_MAX], struct err *e);

/* --- records --- */
struct sv_record {
        const struct sv_desc *desc; /* NULL: there is no such record */
        const uint8_t        *body;
        uint64_t              len;
        uint64_t              offset_bytes; /* of the body in the file */
};

struct sv_records {
        struct sv_record transport[SV_SLOTS], device[SV_SLOTS], serial, kvm, vcpu[VCPUS_MAX];
        uint32_t         nr_vcpus;
};

int sv_records_read(const uint8_t *state, size_t len, uint64_t begin, const struct sv_descs *descs, struct sv_records *ret,
                    struct err *e);

/* --- bodies --- */
int sv_vcpus_read(const struct sv_descs *descs, const struct sv_records *rec, struct vm_state *vm, struct err *e);
int sv_platform_read(const struct sv_descs *descs, const struct sv_record *kvm, struct platform_state *ret, struct err *e);
int sv_serial_read(const struct sv_descs *descs, const struct sv_record *rec, struct serial_state *ret, struct err *e);
/* Refuses what is in use and rouse does not have; what is there but was never driven becomes a note of s. */
int sv_virtio_check(const struct sv_records *rec, struct snapshot *s, struct err *e);

/* --- memory --- */
/* Takes the descriptor out of *p into pages when all is well. */
int sv_memory_read(struct part *p, const struct sv_header *state, struct mem_layout *ret_layout, struct page_map *ret_pages,
                   struct err *e);
