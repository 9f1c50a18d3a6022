/* bench/run/strict_json.h: a JSON document read so that nothing in it is passed over: a key that is none, a type that is another
 * one, a {name} that is none end the reading, with the place as a JSON pointer, and the line where it is sure.
 * Owns:    nothing; members are the document's.
 * Threads: one.
 * Blocks:  never. */
#pragma once

#include "bench/run/peer_vars.h"

#include <json-c/json_types.h>
#include <stdarg.h>

struct strict_reader {
        const char       *file, *text;
        struct peer_vars  names; /* every variable, so that a {name} can be checked */
        struct err       *e;
};

struct strict_key {
        const char    *name;
        enum json_type type; /* json_type_null: any */
        bool           required;
};

/* "FILE: PLACE/KEY (line N): ...", kind ERR_USAGE; returns its code. */
int strict_wrong(const struct strict_reader *r, const char *place, const char *key, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));
const char *strict_type_words(enum json_type t);

/* Each key of o is one of the keys and of its type, and each that is required is there. */
int strict_object(const struct strict_reader *r, const char *place, struct json_object *o, const struct strict_key *keys,
                  size_t nr);
/* Every string in value (which may be NULL) can be expanded. */
int strict_text(const struct strict_reader *r, const char *place, const char *key, struct json_object *value);
/* The array (which may be NULL) has only strings, which can be expanded, and so many of them at least. */
int strict_strings(const struct strict_reader *r, const char *place, const char *key, struct json_object *array, size_t least);

struct json_object *strict_member(struct json_object *o, const char *key); /* NULL: there is none */
const char         *strict_string_member(struct json_object *o, const char *key);
