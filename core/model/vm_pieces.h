/* core/model/vm_pieces.h: where the bytes of each piece of a saved machine lie, so that whoever goes over all of them needs no
 * list.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/model/vm_state.h"

/* In the struct itself, or in an array that the struct points to and counts. */
struct piece_place {
        size_t offset;        /* of the piece, or of the pointer to its array */
        size_t element_bytes; /* of the piece, or of one element */
        size_t count_offset;  /* of the uint32_t count, or PIECE_INLINE */
};
#define PIECE_INLINE SIZE_MAX

extern const struct piece_place vcpu_places[VCPU_PIECES];         /* in struct vcpu_state */
extern const struct piece_place platform_places[PLATFORM_PIECES]; /* in struct platform_state */

struct piece_bytes {
        const uint8_t *p; /* NULL for an array of none */
        size_t         len;
};

/* object: the struct vcpu_state or struct platform_state that place is of. */
struct piece_bytes piece_bytes(const void *object, const struct piece_place *place);
