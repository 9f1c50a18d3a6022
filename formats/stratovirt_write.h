/* formats/stratovirt_write.h: what the parts of the StratoVirt writer hand to each other (sv_: StratoVirt).
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"
#include "core/model/mem_layout.h"
#include "core/model/vm_state.h"
#include "formats/byte_out.h"
#include "formats/stratovirt_bodies.h"

#include <sys/stat.h>

/* --- what the format can hold --- */
/* -ENOTSUP with what it has no place for. */
int sv_write_check(const struct vm_state *vm, struct err *e);
/* The MSRs that go into a vCPU's record, in the order they are in: the first `max` of them. Returns how many there are. */
uint32_t sv_write_msrs(const struct vcpu_state *v, struct kvm_msr_entry *ret, uint32_t max);

/* --- the files --- */
/* The header of either file, SV_HEADER_BYTES of it. */
void sv_write_header(struct byte_out *out, const char *vendor, const char *format, uint64_t desc_len);
/* Of the CPU that the machine was saved on: 16 bytes, NUL-filled. False: nothing says. */
bool sv_write_vendor(const struct vm_state *vm, char ret[CPU_VENDOR_MAX]);
/* All of `state`. Checked before. */
int sv_write_state(const struct vm_state *vm, struct byte_out *out, struct err *e);
/* The first SV_DATA_BYTES of `memory`, and the page after RAM. */
#define SV_DATA_BYTES 8192
int sv_write_memory_head(const char *vendor, const struct mem_layout *l, struct byte_out *out, struct err *e);
void sv_write_memory_tail(struct byte_out *out);

/* --- records --- */
/* A device's name is made of its type and its instance ("VirtioMmioState", "3"). */
void sv_write_record(struct byte_out *out, const char *type, const char *instance, const void *body, size_t len);
void sv_write_vcpu(struct byte_out *out, const struct vm_state *vm, uint32_t index);
void sv_write_kvm(struct byte_out *out, const struct platform_state *p);
void sv_write_serial(struct byte_out *out, const struct serial_state *s);
/* The transports of the slots that are always there; and then the devices, with the transports of those that are not. */
void sv_write_transports(struct byte_out *out, const struct vm_state *vm);
void sv_write_devices(struct byte_out *out, const struct vm_state *vm);

/* --- descriptors --- */
/* One object for each type of record that there is. */
void sv_write_descs(struct byte_out *out, const struct vm_state *vm);

/* --- virtio devices that a machine may have beside its six slots --- */
struct sv_write_optional {
        enum virtio_kind kind;
        const char      *type;   /* "RngState" */
        const char      *id;     /* where the record has none */
        const char      *device; /* as StratoVirt's command line calls it */
        bool             has_transport; /* StratoVirt keeps its registers and queues */
};
const struct sv_write_optional *sv_write_optional(enum virtio_kind kind); /* NULL: none */
/* Its name, which only its hash is of in the file. */
const char *sv_write_name(const struct device_record *d);
