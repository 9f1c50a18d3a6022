/* formats/native_sections.h: which sections a native state has: one table, read and written through.
 * Owns:    nothing; native_state_decode fills what the caller frees.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/model/identity.h"
#include "core/model/mem_layout.h"
#include "core/model/vm_pieces.h"
#include "formats/section_file.h"

/* What a file may say of a piece; where it lies in memory is vm_pieces.h's. */
struct piece_rule {
        uint32_t count_min, count_max; /* elements */
        bool     needed;               /* KVM always gives it, and a guest cannot go on without */
};

extern const struct piece_rule native_vcpu_rules[VCPU_PIECES];
extern const struct piece_rule native_platform_rules[PLATFORM_PIECES];

/* The first piece that is needed and not in `have`; VCPU_PIECES or PLATFORM_PIECES: none. */
enum vcpu_piece     native_vcpu_lacks(uint32_t have);
enum platform_piece native_platform_lacks(uint32_t have);

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
