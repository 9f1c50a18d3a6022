/* tools/restore_words.h: words that restore and inspect --plan share.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/session.h"

#define MODE_WORDS "auto, lazy, mmap, eager or shared"

/* False: none of MODE_WORDS; *ret is untouched. */
bool take_mode(const char *text, enum restore_mode *ret);
/* "auto", "none", or the path of a file: text is borrowed. */
void take_hints(const char *text, struct restore_options *ret);
/* Can this mode have this --memory-backing, and huge pages made of it? What cannot be had is said, in the name of the verb. */
bool mode_has_backing(const char *verb, const struct restore_options *o);
