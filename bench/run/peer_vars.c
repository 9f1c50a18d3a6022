/* Braces in strings. */
#include "bench/run/peer_vars.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *need(void *p)
{
        if (!p) {
                fprintf(stderr, "rouse bench: no memory\n");
                exit(1);
        }
        return p;
}

bool peer_vars_set(struct peer_vars *vars, const char *name, const char *value)
{
        for (size_t i = 0; i < vars->nr; i++)
                if (strcmp(vars->v[i].name, name) == 0) {
                        char *was = vars->v[i].value;

                        vars->v[i].value = need(strdup(value)); /* value may be what was */
                        free(was);
                        return true;
                }
        if (vars->nr == PEER_VARS_MAX)
                return false;
        vars->v[vars->nr].name = need(strdup(name));
        vars->v[vars->nr++].value = need(strdup(value));
        return true;
}

const char *peer_vars_get(const struct peer_vars *vars, const char *name)
{
        for (size_t i = 0; i < vars->nr; i++)
                if (strcmp(vars->v[i].name, name) == 0)
                        return vars->v[i].value;
        return NULL;
}

void peer_vars_free(struct peer_vars *vars)
{
        for (size_t i = 0; i < vars->nr; i++) {
                free(vars->v[i].name);
                free(vars->v[i].value);
        }
        vars->nr = 0;
}

/* What stands at a brace: *ret_value[0, *ret_len), and how much of text it takes; 0 and *e: nothing that is known. */
static size_t take_brace(const struct peer_vars *vars, const char *text, const char **ret_value, size_t *ret_len, struct err *e)
{
        size_t n = strcspn(text + 1, "{}");
        char name[64];

        if (text[1] == text[0]) {
                *ret_value = text;
                *ret_len = 1;
                return 2;
        }
        if (text[0] == '}' || text[1 + n] != '}' || n == 0 || n >= sizeof(name)) {
                err_usage(e, "a '%c' that belongs to no {name}; to mean the brace itself, write it twice", text[0]);
                return 0;
        }
        snprintf(name, sizeof(name), "%.*s", (int)n, text + 1);
        *ret_value = peer_vars_get(vars, name);
        if (!*ret_value) {
                err_usage(e, "{%s} is no variable: known are snapshot, scratch, work, serial, rouse, here and those of \"vars\"",
                          name);
                return 0;
        }
        *ret_len = strlen(*ret_value);
        return n + 2;
}

char *peer_expand(const struct peer_vars *vars, const char *text, struct err *e)
{
        _cleanup_free_ char *buf = NULL;
        size_t size;
        FILE *out = need(open_memstream(&buf, &size));
        const char *value;
        size_t took = 1, len;

        while (*text && took) {
                took = strcspn(text, "{}");
                value = text;
                len = took;
                if (!took)
                        took = take_brace(vars, text, &value, &len, e);
                if (took)
                        fwrite(value, 1, len, out);
                text += took;
        }
        if (fclose(out) != 0)
                need(NULL);
        return took ? TAKE_PTR(buf) : NULL;
}

char *peer_expand_path(const struct peer_vars *vars, const char *dir, const char *text, struct err *e)
{
        _cleanup_free_ char *value = peer_expand(vars, text, e);
        char *path;

        if (!value || value[0] == '/')
                return TAKE_PTR(value);
        if (asprintf(&path, "%s/%s", dir, value) < 0)
                need(NULL);
        return path;
}

static struct json_object *expand_members(const struct peer_vars *vars, struct json_object *value, struct err *e)
{
        struct json_object *ret = json_object_new_object();
        struct json_object_iterator at = json_object_iter_begin(value), end = json_object_iter_end(value);

        for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
                struct json_object *was = json_object_iter_peek_value(&at), *v = peer_expand_json(vars, was, e);

                if (was && !v) {
                        json_object_put(ret);
                        return NULL;
                }
                json_object_object_add(ret, json_object_iter_peek_name(&at), v);
        }
        return ret;
}

static struct json_object *expand_items(const struct peer_vars *vars, struct json_object *value, struct err *e)
{
        struct json_object *ret = json_object_new_array();

        for (size_t i = 0; i < json_object_array_length(value); i++) {
                struct json_object *was = json_object_array_get_idx(value, i), *v = peer_expand_json(vars, was, e);

                if (was && !v) {
                        json_object_put(ret);
                        return NULL;
                }
                json_object_array_add(ret, v);
        }
        return ret;
}

struct json_object *peer_expand_json(const struct peer_vars *vars, struct json_object *value, struct err *e)
{
        _cleanup_free_ char *text = NULL;

        switch (json_object_get_type(value)) {
        case json_type_object:
                return expand_members(vars, value, e);
        case json_type_array:
                return expand_items(vars, value, e);
        case json_type_string:
                text = peer_expand(vars, json_object_get_string(value), e);
                return text ? json_object_new_string(text) : NULL;
        default:
                return json_object_get(value);
        }
}
