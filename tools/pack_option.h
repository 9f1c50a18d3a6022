/* tools/pack_option.h: --pack and --pack-level, of snapshot and convert.
 * Owns:    nothing.
 * Threads: main thread.
 * Blocks:  never. */
#pragma once

#include "tools/cli.h"

struct pack_option {
        bool lz4, has_level;
        int  level;
};
#define PACK_OPTION_DEFAULT {.level = 1}

#define PACK_OPTIONS {"pack", required_argument, NULL, 'P'}, {"pack-level", required_argument, NULL, 'N'}

#define PACK_HELP                                                                                                       \
        "  --pack lz4|none            pack memory in chunks of 32 KiB by LZ4 (native only; default none)\n"                    \
        "  --pack-level N             1 fast (default) to 12 small; -1 to -64 faster still\n"

/* 1: it was one of them; 0: another; -1: it was, and wrong, which has been said. */
int pack_option(const struct verb *v, int c, const char *value, struct pack_option *ret);
/* After the last option: EXIT_OK, or EXIT_USAGE when a level stands alone. */
int pack_option_check(const struct verb *v, const struct pack_option *o);
