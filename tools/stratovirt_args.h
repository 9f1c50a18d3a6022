/* tools/stratovirt_args.h: a StratoVirt command line, and the rouse command line that equals it (reference: StratoVirt 2.5,
 * microvm).
 * Owns:    struct words its words.
 * Threads: main thread.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"

#include <stddef.h>

#define WORDS_MAX 128

struct words {
        size_t nr;
        char  *v[WORDS_MAX];
};
void words_free(struct words *w);

/* argv[0] may be StratoVirt's own name. What changes anything and has no equal is told by tell (one line each), or refused:
 * ERR_USAGE names the word. */
int stratovirt_translate(int argc, char *const *argv, void (*tell)(void *arg, const char *text), void *arg, struct words *ret,
                         struct err *e);
