/* bench/report/html.h: a result as one page: no network, no script needed, light and dark, for a phone as well.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  on the stream; what fails is left in ferror(to). */
#pragma once

#include "bench/model/result.h"

#include <stdio.h>

void bench_html_write(FILE *to, const struct bench_result *r);
