/* core/control/json_text.h: the few things that everybody who writes or reads our JSON does: a member added, a member found.
 * Owns:    nothing; what is added belongs to the object it is added to, what is found stays its document's.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include <stdint.h>

struct json_object;

/* A member at the end; the string is copied. */
void json_add_str(struct json_object *o, const char *key, const char *v);
void json_add_u64(struct json_object *o, const char *key, uint64_t v);

/* The member at "a.b.c", or NULL where there is none. */
struct json_object *json_at(struct json_object *doc, const char *path);
