/* tools/inspect_out.h: a snapshot's contents, for people and for programs.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  on the stream. */
#pragma once

#include "core/inspect.h"

#include <stdio.h>

void inspect_print(FILE *to, const struct inspection *i, bool pages);
void inspect_print_json(FILE *to, const struct inspection *i, bool pages);
