/* tools/pack_option.c: what can be told from the words alone; the writer knows its levels. */
#include "tools/pack_option.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static bool take_level(const char *value, int *ret)
{
        char *end;
        long n;

        errno = 0;
        n = strtol(value, &end, 10);
        if (errno || end == value || *end || n < INT_MIN || n > INT_MAX)
                return false;
        *ret = (int)n;
        return true;
}

int pack_option(const struct verb *v, int c, const char *value, struct pack_option *ret)
{
        switch (c) {
        case 'P':
                ret->lz4 = strcmp(value, "lz4") == 0;
                if (ret->lz4 || strcmp(value, "none") == 0)
                        return 1;
                cli_usage(v->name, "--pack: expected lz4 or none, found '%s'", value);
                return -1;
        case 'N':
                ret->has_level = true;
                if (take_level(value, &ret->level))
                        return 1;
                cli_usage(v->name, "--pack-level: expected a number, found '%s'", value);
                return -1;
        }
        return 0;
}

int pack_option_check(const struct verb *v, const struct pack_option *o)
{
        return o->has_level && !o->lz4 ? cli_usage(v->name, "--pack-level needs --pack lz4") : EXIT_OK;
}
