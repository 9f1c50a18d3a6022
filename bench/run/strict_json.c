/* Keys against a table, strings against variables, and where in the text it was. */
#include "bench/run/strict_json.h"

#include "core/base/units.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

/* --- what is wrong, and where --- */

/* The line in which key stands, when it stands in the text once only; else 0. */
static unsigned line_of_key(const char *text, const char *key)
{
        char quoted[128];
        const char *at;
        unsigned line = 1;

        snprintf(quoted, sizeof(quoted), "\"%.120s\"", key);
        at = strstr(text, quoted);
        if (!at || strstr(at + 1, quoted))
                return 0;
        for (const char *p = text; p < at; p++)
                line += *p == '\n';
        return line;
}

int strict_wrong(const struct strict_reader *r, const char *place, const char *key, const char *format, ...)
{
        unsigned line = line_of_key(r->text, key);
        char at_line[24] = "", why[700];
        va_list args;

        va_start(args, format);
        vsnprintf(why, sizeof(why), format, args);
        va_end(args);
        if (line)
                snprintf(at_line, sizeof(at_line), " (line %u)", line);
        return err_usage(r->e, "%s: %s/%s%s: %s", r->file, place, key, at_line, why);
}

const char *strict_type_words(enum json_type t)
{
        switch (t) {
        case json_type_string:
                return "a string";
        case json_type_array:
                return "an array";
        case json_type_object:
                return "an object";
        case json_type_int:
                return "a whole number";
        case json_type_boolean:
                return "true or false";
        default:
                return json_type_to_name(t);
        }
}

/* --- objects of known keys --- */

static int check_key(const struct strict_reader *r, const char *place, const char *name, struct json_object *value,
                     const struct strict_key *keys, size_t nr)
{
        char known[400] = "";
        size_t len = 0;

        for (size_t i = 0; i < nr; i++) {
                if (strcmp(keys[i].name, name) == 0) {
                        if (keys[i].type == json_type_null || json_object_is_type(value, keys[i].type))
                                return 0;
                        return strict_wrong(r, place, name, "expected %s, found %s", strict_type_words(keys[i].type),
                                            strict_type_words(json_object_get_type(value)));
                }
                len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "", keys[i].name);
                len = MIN(len, sizeof(known) - 1);
        }
        return strict_wrong(r, place, name, "unknown key; known here: %s", known);
}

int strict_object(const struct strict_reader *r, const char *place, struct json_object *o, const struct strict_key *keys,
                  size_t nr)
{
        struct json_object_iterator at = json_object_iter_begin(o), end = json_object_iter_end(o);
        int ret = 0;

        for (; !ret && !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
                ret = check_key(r, place, json_object_iter_peek_name(&at), json_object_iter_peek_value(&at), keys, nr);
        for (size_t i = 0; !ret && i < nr; i++)
                if (keys[i].required && !json_object_object_get_ex(o, keys[i].name, NULL))
                        ret = strict_wrong(r, place, keys[i].name, "missing");
        return ret;
}

struct json_object *strict_member(struct json_object *o, const char *key)
{
        struct json_object *v = NULL;

        json_object_object_get_ex(o, key, &v);
        return v;
}

const char *strict_string_member(struct json_object *o, const char *key)
{
        struct json_object *v = strict_member(o, key);

        return v ? json_object_get_string(v) : NULL;
}

/* --- strings with variables --- */

/* Every string in it can be expanded. */
int strict_text(const struct strict_reader *r, const char *place, const char *key, struct json_object *value)
{
        struct json_object *expanded;
        struct err why = {0};

        if (!value)
                return 0;
        expanded = peer_expand_json(&r->names, value, &why);
        if (why.code)
                return strict_wrong(r, place, key, "%s", why.text);
        json_object_put(expanded);
        return 0;
}

int strict_strings(const struct strict_reader *r, const char *place, const char *key, struct json_object *array, size_t least)
{
        if (!array)
                return 0;
        for (size_t i = 0; i < json_object_array_length(array); i++)
                if (!json_object_is_type(json_object_array_get_idx(array, i), json_type_string))
                        return strict_wrong(r, place, key, "item %zu: expected a string", i);
        if (json_object_array_length(array) < least)
                return strict_wrong(r, place, key, "at least %zu string%s expected", least, least == 1 ? "" : "s");
        return strict_text(r, place, key, array);
}
