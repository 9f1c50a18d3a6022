/* tools/stratovirt_list.h: "kind,key=value,flag" as StratoVirt's options are written.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>

#define LIST_VALUE_MAX 512

/* The value of key in "a,b=c,..."; "" for a key without one; NULL: it is not there. */
const char *list_find(const char *list, const char *key, char buf[LIST_VALUE_MAX]);
bool        list_is(const char *list, const char *key, const char *value);
/* What stands before the first comma, and whether it is this. */
const char *list_kind(const char *list, char buf[LIST_VALUE_MAX]);
bool        list_is_kind(const char *list, const char *kind);
/* Every key must be among `known` (NULL at the end), from the second part on where there is a kind. The error names option and
 * word. */
int list_check(const char *option, const char *list, bool has_kind, const char *const *known, struct err *e);
#define KEYS(...) (const char *const[]){__VA_ARGS__, NULL}
