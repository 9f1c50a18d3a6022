/* formats/native_sections.h: which sections a native state has: one table, read and written through.
 * Owns:    nothing; native_state_decode fills what the caller frees.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/model/device_config.h"
#include "core/model/identity.h"
#include "core/model/mem_layout.h"
#include "core/model/vm_pieces.h"
#include "formats/parent_place.h"
#include "formats/section_file.h"

/* What a file may say of a piece; where it lies in memory is vm_pieces.h's. */
struct piece_rule {
        uint32_t count_min, count_max; /* elements */
        bool     needed;               /* KVM always gives it, and a guest cannot go on without */
};

extern const struct piece_rule native_vcpu_rules[VCPU_PIECES];
extern const struct piece_rule native_platform_rules[PLATFORM_PIECES];

/* The first piece that is needed and not in `have`; VCPU_PIECES or PLATFORM_PIECES: none. */
enum vcpu_piece     native_vcpu_lacks(const struct vcpu_state *v);
enum platform_piece native_platform_lacks(uint32_t have);

/* The names of sections: at most NATIVE_NAME_MAX bytes with the NUL. */
void native_vcpu_section(char ret[NATIVE_NAME_MAX], uint32_t vcpu, const char *piece);
void native_platform_section(char ret[NATIVE_NAME_MAX], const char *piece);
void native_device_section(char ret[NATIVE_NAME_MAX], uint32_t device, const char *kind);

/* A device's name in a section: it ends, and a terminal shows it as one word or none. */
bool native_id_is_good(const char id[NATIVE_NAME_MAX]);

/* All that `state` holds. */
struct native_state {
        struct identity     self, parent;
        struct parent_place parent_place;
        struct mem_layout   layout;
        struct vm_state     vm;
};
void native_state_free(struct native_state *s);

/* How a vCPU's CPUID comes about: saved, or made from a topology that must then be there. NULL: nothing is wrong with it; else
 * what was expected. */
const char *native_vcpu_trouble(const struct vcpu_state *v, uint32_t nr_vcpus);

/* native_virtio.c. trouble: NULL, or what was expected; one with trouble must not be added. */
const char *native_virtio_trouble(const struct virtio_state *v);
void        native_virtio_add(struct section_out *out, uint32_t i, const struct device_record *d);
/* s: the section device.N.virtio. Fills id and u.virtio. */
int native_virtio_read(const struct sections *in, const struct section *s, struct device_record *ret, struct err *e);

/* native_encode.c */
/* place: of the parent; NULL: not known, or no parent. */
int native_state_encode(const struct identity *self, const struct identity *parent, const struct parent_place *place,
                        const struct mem_layout *l, const struct vm_state *vm, struct section_out *out, struct err *e);
/* native_decode.c: every section that a microVM has must be there, once, of a known version and of its size. */
int native_state_decode(struct sections *in, struct native_state *ret, struct err *e);
