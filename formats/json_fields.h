/* formats/json_fields.h: one table says which members of a JSON object are wanted and where in a C struct each goes.
 * Owns:    nothing; spans that are read point into the text.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"
#include "formats/json_span.h"

enum json_type {
        JSON_U64,    /* uint64_t, at most `limit` */
        JSON_BOOL,   /* bool */
        JSON_STRING, /* struct json_span: the text between the quotes */
        JSON_ARRAY,  /* struct json_span */
        JSON_OBJECT, /* struct json_span */
        JSON_ANY,    /* struct json_span: whatever value it is */
        JSON_BYTES,  /* uint8_t[limit]: an array of `limit` numbers below 256 */
};

struct json_field {
        const char    *name;
        enum json_type type;
        size_t         offset; /* of the member in the C struct */
        uint64_t       limit;
};

#define JSON_FIELDS_MAX 32 /* of one table */

/* Where the text is, for messages. */
struct json_place {
        const char *file;
        const char *text;
        uint64_t    offset_bytes; /* of text[0] in the file */
};

static inline uint64_t json_offset(const struct json_place *at, const char *p)
{
        return at->offset_bytes + (uint64_t)(p - at->text);
}

/* Every field of the table must be there once and of its type; members that are not in the table are skipped. The span must be
 * the object and nothing else; that is seen on the way, so it need not be skipped over first. Writes into *ret as it goes: on
 * failure (-EBADMSG) what is there means nothing. */
int json_read(const struct json_place *at, struct json_span object, const struct json_field *fields, size_t nr, void *ret,
              struct err *e);
