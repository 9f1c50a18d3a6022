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

#define SV_MEMORY "memory" /* the file */

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

/* The objects of `state` behind the header, desc_len bytes of them. Spans point into state. Errors: ERR_SNAPSHOT, with offset. */
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

/* Devices that a microVM may have beside its six slots. Their ids are the user's, and the file has hashes of them only. */
enum sv_optional { SV_VSOCK, SV_CONSOLE, SV_RNG, SV_BALLOON, SV_OPTIONAL };

struct sv_records {
        const struct sv_generation *generation;
        struct sv_record            transport[SV_SLOTS], device[SV_SLOTS], serial, kvm, vcpu[VCPUS_MAX];
        struct sv_record            further[SV_FURTHER_MAX]; /* transports of optional devices: of which, the file does not say */
        struct sv_record            optional[SV_OPTIONAL];
        uint32_t                    nr_vcpus, nr_further;
};

/* The records from byte `begin` to the end: each known and there once, else refused by name. Bodies point into state. */
int sv_records_read(const uint8_t *state, size_t len, uint64_t begin, const struct sv_descs *descs, struct sv_records *ret,
                    struct err *e);

/* --- generations: what of a snapshot changed between StratoVirt 2.4 and 2.5 --- */

/* What a transport says beside the registers and queues that struct virtio_state has. */
struct sv_transport {
        uint64_t queue_num;                               /* queues that are activated */
        uint64_t queue_type;                              /* SV_QUEUE_SPLIT */
        uint64_t queue_offset_bytes[VIRTIO_QUEUES_MAX]; /* of each queue in the file, for messages */
};

/* A device's own record: its features, `broken`, and what its kind adds. */
typedef int (*sv_device_reader)(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret,
                                struct err *e);

/* RAM as the memory file has it: one block at data_bytes, in the windows of a microVM of its size. */
struct sv_ram {
        struct mem_layout layout;
        uint64_t          data_bytes;
};

struct sv_generation {
        int    number;
        size_t record_bytes;   /* of a record's header */
        size_t topology_bytes; /* of each number of a vCPU's topology */
        bool   u8_offsets;     /* struct cpu_topology */
        bool   json;           /* the bodies of virtio records are JSON, but for rng and vsock */
        /* Registers and the queues that the device has: those with a max_size; nr_queues says how many. `all`: a layout is seen
         * in all transports together. */
        int (*read_transport)(const struct sv_records *all, const struct sv_record *rec, struct virtio_state *ret,
                              struct sv_transport *ret_more, struct err *e);
        sv_device_reader read_block, read_net, read_optional[SV_OPTIONAL]; /* NULL: a generation without it */
        int (*read_ram)(const struct part *memory, struct sv_ram *ret, struct err *e);
        /* What follows RAM up to the file's end. */
        int (*check_after_ram)(const struct part *memory, uint64_t offset_bytes, struct err *e);
};

extern const struct sv_generation sv_generation_2, sv_generation_3;

/* --- bodies --- */
int sv_vcpus_read(const struct sv_descs *descs, const struct sv_records *rec, struct vm_state *vm, struct err *e);
int sv_platform_read(const struct sv_descs *descs, const struct sv_record *kvm, struct platform_state *ret, struct err *e);
int sv_serial_read(const struct sv_descs *descs, const struct sv_record *rec, struct serial_state *ret, struct err *e);
/* Adds a record for each slot in order, then for each optional device: VIRTIO_SLOT_UNKNOWN. */
int sv_virtio_read(const struct sv_descs *descs, const struct sv_records *rec, struct snapshot *s, struct err *e);

/* Structs in both generations. */
int sv_rng_read(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret, struct err *e);
int sv_vsock_read(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret, struct err *e);

/* A field of a body that is one byte, 0 or 1. */
int sv_bool_read(const struct sv_record *rec, const char *name, uint64_t at, bool *ret, struct err *e);

/* --- the whole of `state` --- */
/* Fills vm, version and notes of s. */
int sv_state_read(const uint8_t *state, size_t len, struct snapshot *s, struct sv_header *ret_header,
                  const struct sv_generation **ret_generation, struct err *e);

/* --- memory --- */
/* Takes the descriptor out of *p into pages when all is well. */
int sv_memory_read(struct part *p, const struct sv_generation *g, const struct sv_header *state, struct mem_layout *ret_layout,
                   struct page_map *ret_pages, struct err *e);

/* A guest-physical window as a table of RAM has it. */
struct sv_window {
        uint64_t gpa, size_bytes, ram_offset_bytes;
};
#define SV_WINDOWS_MAX 2 /* below 3 GiB, from 4 GiB on */

/* The windows, in any order, must be those of a microVM of this size: anything else would put RAM over its devices. */
int sv_windows_check(uint64_t offset_bytes, struct sv_window *found, size_t nr, const struct mem_layout *l, struct err *e);
