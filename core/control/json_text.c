/* Members of JSON objects, by key and by path. */
#include "core/control/json_text.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

void json_add_str(struct json_object *o, const char *key, const char *v)
{
        json_object_object_add(o, key, json_object_new_string(v));
}

void json_add_u64(struct json_object *o, const char *key, uint64_t v)
{
        json_object_object_add(o, key, json_object_new_uint64(v));
}

struct json_object *json_at(struct json_object *doc, const char *path)
{
        char key[32];

        for (;;) {
                size_t n = strcspn(path, ".");

                snprintf(key, sizeof(key), "%.*s", (int)n, path);
                if (!json_object_object_get_ex(doc, key, &doc))
                        return NULL;
                if (!path[n])
                        return doc;
                path += n + 1;
        }
}
