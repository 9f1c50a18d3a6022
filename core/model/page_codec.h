/* core/model/page_codec.h: the contract of what unpacks a chunk of pages: a format gives one to its page map, the pager calls it.
 * Owns:    nothing.
 * Threads: any: a codec has no state.
 * Blocks:  never. */
#pragma once

#include <stddef.h>

struct page_codec {
        const char *name; /* "lz4" */
        /* Exactly dst_bytes from src_bytes, or -EBADMSG. Whatever the bytes are, nothing outside of the two buffers is
         * touched. */
        int (*unpack)(void *dst, size_t dst_bytes, const void *src, size_t src_bytes);
};
