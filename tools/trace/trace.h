/* tools/trace/trace.h: one trace, from its words to its hints.
 * Owns:    nothing.
 * Threads: main thread, while there is no other.
 * Blocks:  until the trace ends. */
#pragma once

#include "tools/cli.h"

#include <sys/types.h>

struct trace_words {
        pid_t            pid;      /* 0: command */
        char           **command;  /* NULL: pid */
        const char      *snapshot; /* or NULL */
        const char      *format;
        struct cli_bases bases;
        const char      *out;
        uint64_t         timeout_ns; /* 0: none */
        uint64_t         buffer_bytes;
        bool             huge_pages; /* command may have them */
        bool             debug;
};

/* Returns an exit status, told. */
int trace(const struct trace_words *w);
