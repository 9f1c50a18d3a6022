/* bench/model/result_json.h: a result as JSON, version 1; bench/schema/result-1.json describes it and a test holds every output
 * against it. Beside the raw values stand what bench/stats says of them, for readers that only want the figures; the reader here
 * takes the raw values.
 * Owns:    *ret of the reader: bench_result_free.
 * Threads: one.
 * Blocks:  on the file. */
#pragma once

#include "bench/model/result.h"
#include "core/base/err.h"

#include <stdio.h>

#define BENCH_JSON_BYTES_MAX (UINT64_C(128) << 20)

/* What fails is left in ferror(to). */
void bench_json_write(FILE *to, const struct bench_result *r);

/* An untrusted file: not JSON, of another version, of wrong types or out of bounds: -EBADMSG and one line that names file and
 * place; *ret is untouched. */
int bench_json_read(const char *path, struct bench_result *ret, struct err *e);
