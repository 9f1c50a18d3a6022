/* tests/unit/bench/golden.h: an output held byte for byte against a file of tests/data/bench.
 * tests/unit/bench/regenerate writes the files anew.
 * Owns:    nothing; the text of golden_load is its caller's.
 * Threads: the test's.
 * Blocks:  on the file. */
#pragma once

#include "core/base/cleanup.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN_DIR "tests/data/bench/"

static inline char *golden_load(const char *path, size_t *ret_bytes)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        char                  *text = calloc(1, 16 << 20);

        cr_assert(f && text, "cannot open %s", path);
        *ret_bytes = fread(text, 1, (16 << 20) - 1, f);
        return text;
}

static inline void golden_expect(const char *name, const char *text, size_t bytes)
{
        _cleanup_free_ char *expected = NULL;
        char                 path[200];
        size_t               length, same = 0;

        snprintf(path, sizeof(path), GOLDEN_DIR "%s", name);
        if (getenv("ROUSE_REGENERATE")) {
                _cleanup_fclose_ FILE *f = fopen(path, "we");

                cr_assert(f && fwrite(text, 1, bytes, f) == bytes, "cannot write %s", path);
                return;
        }
        expected = golden_load(path, &length);
        while (same < bytes && same < length && text[same] == expected[same])
                same++;
        cr_assert(bytes == length && same == length, "%s differs from byte %zu on: expected '%.60s', found '%.60s'; after a change that was meant: tests/unit/bench/regenerate", path, same,
                  expected + same, text + same);
}
