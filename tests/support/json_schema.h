/* tests/support/json_schema.h: holds a JSON file against a JSON Schema, with Debian's python3-jsonschema.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  on the child, a second or so. */
#pragma once

/* Fails the test with the first violation and its place. Skips it (fails under CI=true) where python3-jsonschema is missing. */
void json_schema_expect(const char *schema_path, const char *path);
