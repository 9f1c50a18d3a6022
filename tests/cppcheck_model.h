/* tests/cppcheck_model.h: macros of system headers that look like no C without their definition; cppcheck does not read those
 * headers. `make cppcheck` includes it before each file; nothing else does.
 * Owns:    nothing.
 * Threads: none; it is never compiled.
 * Blocks:  never. */
#pragma once

/* criterion/criterion.h */
#define Test(suite, name, ...) void suite##_##name(void)
#define TestSuite(suite, ...)  extern int suite##_suite

/* json-c/json_object.h */
#define json_object_object_foreach(object, key, value) \
        char               *key = next_key(object);    \
        struct json_object *value = next_value(object); \
        for (; key; key = next_key(object), value = next_value(object))
