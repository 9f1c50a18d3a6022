/* What the words of rouse bench say when they cannot go on. */
#include "bench/verb.h"

#include <stdarg.h>
#include <stdio.h>

static int complain(int status, const char *word, const char *format, va_list args)
{
        fprintf(stderr, "rouse bench %s: ", word);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
        return status;
}

int bench_usage(const char *word, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        complain(BENCH_EXIT_USAGE, word, format, args);
        va_end(args);
        fprintf(stderr, "see 'rouse bench %s --help'\n", word);
        return BENCH_EXIT_USAGE;
}

int bench_failed(const char *word, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        complain(BENCH_EXIT_FAILED, word, format, args);
        va_end(args);
        return BENCH_EXIT_FAILED;
}
