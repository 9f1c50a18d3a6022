/* formats/native_sections.h: which sections a native state has: one table, read and written through.
 * Owns:    nothing; native_state_decode fills what the caller frees.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/model/identity.h"
#include "core/model/mem_layout.h"
#include "core/model/vm_state.h"
#include "formats/section_file.h"

/* Where a piece is in its struct, and how many bytes of it there may be. */
struct piece_layout {
        size_t   offset;        /* of the struct, or of the pointer to the array */
        size_t   element_bytes; /* of the struct, or of one element */
        size_t   count_offset;  /* of the uint32_t count of an array; PIECE_INLINE: a struct */
        uint32_t count_min, count_max;
};
#define PIECE_INLINE SIZE_MAX

extern const struct piece_layout native_vcpu_pieces[VCPU_PIECES];         /* of struct vcpu_state */
extern const struct piece_layout native_platform_pieces[PLATFORM_PIECES]; /* of struct platform_state */

/* The names of sections: at most NATIVE_NAME_MAX bytes with the NUL. */
void native_vcpu_section(char ret[NATIVE_NAME_MAX], uint32_t vcpu, const char *piece);
void native_platform_section(char ret[NATIVE_NAME_MAX], const char *piece);
void native_device_section(char ret[NATIVE_NAME_MAX], uint32_t device, const char *kind);

/* All that `state` holds. */
struct native_state {
        struct identity   self, parent;
        struct mem_layout layout;
        struct vm_state   vm;
};
void native_state_free(struct native_state *s);

/* native_encode.c */
int native_state_encode(const struct identity *self, const struct identity *parent, const struct mem_layout *l, const struct vm_state *vm,
                        struct section_out *out, struct err *e);
/* native_decode.c: every section that a microVM has must be there, once, of a known version and of its size. */
int native_state_decode(struct sections *in, struct native_state *ret, struct err *e);
