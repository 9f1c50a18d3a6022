/* formats/byte_out.h: bytes of a file put together in memory, structs and text as they come.
 * Owns:    its buffer.
 * Threads: one at a time.
 * Blocks:  never. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct byte_out {
        uint8_t *bytes;
        size_t   len, cap;
        int      failed; /* the first -errno; later adds do nothing, so that only the last one's caller looks */
};

void byte_out_free(struct byte_out *o);
/* To the end; no memory: `failed`, and nothing is added. */
void byte_out_add(struct byte_out *o, const void *bytes, size_t len);
void byte_out_text(struct byte_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* without a NUL */
/* Zeros up to a multiple of `to`. */
void byte_out_pad(struct byte_out *o, size_t to);
