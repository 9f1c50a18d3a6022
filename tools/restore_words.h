/* tools/restore_words.h: words that restore and inspect --plan share.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/session.h"

#define MODE_WORDS "auto, lazy, mmap, eager or shared"

bool take_mode(const char *text, enum restore_mode *ret);
void take_hints(const char *text, struct restore_options *ret);
