/* formats/json_span.h: walks JSON text as spans, without building a tree: what nobody asks for is only skipped.
 * Owns:    nothing; spans point into the caller's text.
 * Threads: any.
 * Blocks:  never.
 *
 * Why not a JSON library here: the virtio part of a StratoVirt state is 98 KB of filler around some 40 numbers, and a tree of it
 * costs more than all the rest of a restore. Skipping checks strings, brackets and depth; grammar is checked where it is
 * walked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_span {
        const char *p; /* the first byte of a value, the last one at p[len - 1] */
        size_t      len;
};

/* Takes one value off the front of *text, blanks around it too. False, and *text points at the trouble, when there is none. */
bool json_take(struct json_span *text, struct json_span *ret_value);

/* A walk over the members of an object or the elements of an array. */
struct json_walk {
        struct json_span rest; /* after a failure rest.p is where it was */
        char             close;
        bool             begun;
};

/* False when value is no object (open '{') or no array (open '['). */
bool json_walk_begin(struct json_span value, char open, struct json_walk *ret);

/* 1 with the next one (ret_name is the text between the quotes; NULL for an array), 0 at the end, -EBADMSG for broken text. */
int json_walk_next(struct json_walk *w, struct json_span *ret_name, struct json_span *ret_value);

/* The whole span as a number of 64 bits: digits only, exactly. */
bool json_u64(struct json_span value, uint64_t *ret);
bool json_bool(struct json_span value, bool *ret);
/* The text between the quotes; a string with escapes is refused: nothing that a snapshot has to say needs one. */
bool json_string(struct json_span value, struct json_span *ret_text);
/* An array of exactly nr numbers below 256. */
bool json_bytes(struct json_span value, uint8_t *ret, size_t nr);

/* Letter for letter. */
bool json_span_is(struct json_span text, const char *s);
