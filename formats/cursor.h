/* formats/cursor.h: reads little-endian bytes in order, never past their end, and knows where it is for messages.
 * Owns:    nothing; borrows the bytes and the file's name.
 * Threads: one cursor belongs to one thread.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct cursor {
        const char    *file;
        const uint8_t *bytes; /* bytes[0] is at offset base_bytes of the file */
        uint64_t       base_bytes;
        size_t         len;
        size_t         at;
};

static inline uint64_t cursor_offset(const struct cursor *c)
{
        return c->base_bytes + c->at;
}

static inline size_t cursor_left(const struct cursor *c)
{
        return c->len - c->at;
}

/* The next len bytes, in place. Fewer are left: -EBADMSG, and the cursor stays. `what` is how the message calls them. */
int cursor_take(struct cursor *c, const char *what, uint64_t len, const uint8_t **ret, struct err *e);
int cursor_u64(struct cursor *c, const char *what, uint64_t *ret, struct err *e);
