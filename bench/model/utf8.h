/* bench/model/utf8.h: text that others wrote, one code point at a time.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The code point at s (which is not at its end) and the bytes it takes; 0xfffd and one byte where it is no UTF-8. */
uint32_t utf8_point(const char *s, size_t *ret_bytes);
