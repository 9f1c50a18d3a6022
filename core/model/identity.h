/* core/model/identity.h: the name under which indexes and hints of a snapshot are kept.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never.
 *
 * Native: the UUID of its state file, 36 characters. Foreign: 32 hex digits of XXH3-128 over its state file(s), '-', the memory
 * file's size in bytes, '-', its mtime in ns. Only [0-9a-f-]: it is used as a file name. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define IDENTITY_MAX 96 /* with the NUL: 32 + 1 + 20 + 1 + 20 + 1 fits */

struct identity {
        char s[IDENTITY_MAX];
};

bool identity_equal(const struct identity *a, const struct identity *b);
bool identity_is_valid(const struct identity *id); /* not empty, terminated, only the characters above */
