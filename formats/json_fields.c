/* formats/json_fields.c: reads the wanted members of one JSON object in one pass over it. */
#include "formats/json_fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FOUND_MAX 40 /* bytes of a wrong value that a message shows */

static const char *const type_names[] = {
        [JSON_U64]    = "a number",
        [JSON_BOOL]   = "true or false",
        [JSON_STRING] = "a string",
        [JSON_ARRAY]  = "an array",
        [JSON_OBJECT] = "an object",
        [JSON_ANY]    = "a value",
        [JSON_BYTES]  = "an array of bytes",
};

static bool is_container(struct json_span value, char open)
{
        return value.len && value.p[0] == open;
}

static bool convert(const struct json_field *f, struct json_span value, void *ret)
{
        uint64_t         number;
        bool             yes;
        struct json_span text;

        switch (f->type) {
        case JSON_U64:
                if (!json_u64(value, &number) || number > f->limit)
                        return false;
                memcpy(ret, &number, sizeof(number));
                return true;
        case JSON_BOOL:
                if (!json_bool(value, &yes))
                        return false;
                memcpy(ret, &yes, sizeof(yes));
                return true;
        case JSON_STRING:
                if (!json_string(value, &text))
                        return false;
                memcpy(ret, &text, sizeof(text));
                return true;
        case JSON_ARRAY:
        case JSON_OBJECT:
                memcpy(ret, &value, sizeof(value));
                return is_container(value, f->type == JSON_ARRAY ? '[' : '{');
        case JSON_ANY:
                memcpy(ret, &value, sizeof(value));
                return true;
        case JSON_BYTES:
                return json_bytes(value, ret, f->limit);
        }
        return false;
}

/* A file's bytes in a message: only what a terminal shows as one line. */
static void printable(struct json_span value, char ret[FOUND_MAX + 1])
{
        size_t n = value.len < FOUND_MAX ? value.len : FOUND_MAX;

        for (size_t i = 0; i < n; i++)
                ret[i] = value.p[i] >= ' ' && value.p[i] <= '~' ? value.p[i] : '?';
        ret[n] = '\0';
}

static int wrong_value(const struct json_place *at, const struct json_field *f, struct json_span value, struct err *e)
{
        char found[FOUND_MAX + 1], limit[64] = "";

        printable(value, found);
        if (f->type == JSON_U64)
                snprintf(limit, sizeof(limit), " of at most %" PRIu64, f->limit);
        if (f->type == JSON_BYTES)
                snprintf(limit, sizeof(limit), ", %" PRIu64 " of them", f->limit);
        return err_bad(e, at->file, json_offset(at, value.p), "\"%s\": expected %s%s, found %s; the file is damaged, use another "
                       "copy",
                       f->name, type_names[f->type], limit, found);
}

static const struct json_field *find(const struct json_field *fields, size_t nr, struct json_span name)
{
        for (size_t i = 0; i < nr; i++)
                if (json_span_is(name, fields[i].name))
                        return &fields[i];
        return NULL;
}

static int read_member(const struct json_place *at, const struct json_field *f, bool again, struct json_span value, void *ret,
                       struct err *e)
{
        if (again)
                return err_bad(e, at->file, json_offset(at, value.p), "expected \"%s\" once, found it again"
                               "; the file is damaged, use another copy", f->name);
        if (!convert(f, value, (uint8_t *)ret + f->offset))
                return wrong_value(at, f, value, e);
        return 0;
}

static int check_complete(const struct json_place *at, struct json_span object, const struct json_field *fields, size_t nr,
                          uint32_t seen, struct err *e)
{
        for (size_t i = 0; i < nr; i++)
                if (!(seen >> i & 1))
                        return err_bad(e, at->file, json_offset(at, object.p), "expected a member \"%s\", found none"
                                       "; the file is damaged or of another version", fields[i].name);
        return 0;
}

int json_read(const struct json_place *at, struct json_span object, const struct json_field *fields, size_t nr, void *ret,
              struct err *e)
{
        struct json_walk w;
        struct json_span name, value;
        uint32_t         seen = 0;
        int              more, r;

        if (!json_walk_begin(object, '{', &w))
                return err_bad(e, at->file, json_offset(at, object.p), "expected a JSON object, found something else"
                               "; the file is damaged, use another copy");
        while ((more = json_walk_next(&w, &name, &value)) > 0) {
                const struct json_field *f = find(fields, nr, name);
                uint32_t                 bit = f ? 1u << (f - fields) : 0;

                if (!f)
                        continue;
                r = read_member(at, f, seen & bit, value, ret, e);
                if (r < 0)
                        return r;
                seen |= bit;
        }
        if (more < 0 || w.rest.len != 1)
                return err_bad(e, at->file, json_offset(at, w.rest.p + (more == 0)),
                               "expected JSON members up to the object's end, found other text"
                               "; the file is damaged, use another copy");
        return check_complete(at, object, fields, nr, seen, e);
}
