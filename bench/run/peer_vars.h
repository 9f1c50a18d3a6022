/* bench/run/peer_vars.h: {name} in the strings of a peer file.
 * Owns:    names and values; peer_vars_free.
 * Threads: one.
 * Blocks:  never. Exits (status 1) where there is no memory. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct json_object;

#define PEER_VARS_MAX 48

struct peer_vars {
        struct {
                char *name, *value;
        } v[PEER_VARS_MAX];
        size_t nr;
};

/* The value of that name; added where it was not there. False: there are PEER_VARS_MAX already. */
bool        peer_vars_set(struct peer_vars *vars, const char *name, const char *value);
const char *peer_vars_get(const struct peer_vars *vars, const char *name); /* NULL: there is none */
void        peer_vars_free(struct peer_vars *vars);

/* text with every {name} replaced, "{{" and "}}" by one brace; the caller frees it. NULL and *e: a name that is none, or a brace
 * alone. */
char *peer_expand(const struct peer_vars *vars, const char *text, struct err *e);
/* The same, and a name that does not begin with a slash is below dir. */
char *peer_expand_path(const struct peer_vars *vars, const char *dir, const char *text, struct err *e);
/* A copy of a JSON value in which every string, keys left alone, is expanded. */
struct json_object *peer_expand_json(const struct peer_vars *vars, struct json_object *value, struct err *e);
