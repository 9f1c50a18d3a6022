/* bench/model/json_out.h: JSON written as it goes, so that a timeline of a million pages needs no tree of objects.
 * Owns:    nothing; the stream is the caller's, and its ferror tells what failed.
 * Threads: one.
 * Blocks:  on the stream. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json_out {
        FILE    *to;
        unsigned depth, inline_depth; /* from inline_depth on, members stand on one line; 0: never */
        bool     more; /* something stands before, at this depth */
};

/* key: NULL inside an array and for the document itself. */
void jout_open(struct json_out *o, const char *key, char bracket); /* '{' or '[' */
/* What is inside stands on one line. */
void jout_open_inline(struct json_out *o, const char *key, char bracket);
void jout_close(struct json_out *o, char bracket); /* '}' or ']' */

/* UTF-8; a byte that is none becomes U+FFFD. */
void jout_str(struct json_out *o, const char *key, const char *v);
/* Nothing where v is NULL. */
void jout_str_if(struct json_out *o, const char *key, const char *v);
/* The shortest decimal that is read back as the same double. */
void jout_num(struct json_out *o, const char *key, double v);
void jout_pair(struct json_out *o, const char *key, double low, double high); /* [low, high] in one line: an interval */
void jout_u64(struct json_out *o, const char *key, uint64_t v);
void jout_i64(struct json_out *o, const char *key, int64_t v);
void jout_bool(struct json_out *o, const char *key, bool v);
