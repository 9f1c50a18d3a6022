/* tests/tidy_model.h: tells clang-tidy, which sees one file at a time, what core/base/err.c promises: the code that goes in comes
 * out. Without it every "if (r < 0) return r;" after a failure has a path on which the failure is forgotten. `make tidy` includes
 * it before each file but err.c; nothing else does.
 * Owns:    nothing.
 * Threads: none; it is never compiled.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"

#include <errno.h>

#define err_set(e, r, ...)  (err_set(e, r, __VA_ARGS__), (r))
#define err_host(e, r, ...) (err_host(e, r, __VA_ARGS__), (r))
#define err_wrap(e, r, ...) (err_wrap(e, r, __VA_ARGS__), (r))
#define err_usage(...)      (err_usage(__VA_ARGS__), -EINVAL)
#define err_bad(...)        (err_bad(__VA_ARGS__), -EBADMSG)
