/* formats/siphash.h: SipHash-1-3 with the key (0, 0), as Rust's DefaultHasher names the records of a StratoVirt state.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Of len bytes, with no more around them. */
uint64_t siphash13(const void *bytes, size_t len);

/* Of a Rust `str`: its bytes and one 0xff. At most SIPHASH_STR_MAX bytes of s count. */
#define SIPHASH_STR_MAX 63
uint64_t siphash13_str(const char *s);
