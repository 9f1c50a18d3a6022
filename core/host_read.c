/* One small file, one value. */
#include "core/host_read.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/model/host_files.h"

#include <ctype.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *open_below(const char *root, const char *path)
{
        char whole[PATH_MAX];

        return snprintf(whole, sizeof(whole), "%s%s", root, path) < (int)sizeof(whole) ? fopen(whole, "re") : NULL;
}

bool host_read_line(const char *root, const char *path, char *ret, size_t size)
{
        _cleanup_fclose_ FILE *f = open_below(root, path);
        char line[512];

        if (!f || !fgets(line, sizeof(line), f))
                return false;
        line[strcspn(line, "\n")] = 0;
        snprintf(ret, size, "%.*s", (int)size - 1, line);
        return true;
}

bool host_read_choice(const char *root, const char *path, char *ret, size_t size)
{
        char line[256], *from, *to;

        if (!host_read_line(root, path, line, sizeof(line)))
                return false;
        from = strchr(line, '[');
        to = from ? strchr(from, ']') : NULL;
        if (!to)
                return false;
        snprintf(ret, size, "%.*s", (int)(to - from - 1), from + 1);
        return true;
}

int64_t host_parse_number(const char *text, const char **ret_end)
{
        static const char *const endless[] = {"max", "unlimited"};
        char *end;
        long long v;

        while (isblank((unsigned char)*text))
                text++;
        for (size_t i = 0; i < sizeof(endless) / sizeof(*endless); i++)
                if (strncmp(text, endless[i], strlen(endless[i])) == 0) {
                        if (ret_end)
                                *ret_end = text + strlen(endless[i]);
                        return HOST_NO_LIMIT;
                }
        v = strtoll(text, &end, 10);
        if (ret_end)
                *ret_end = end;
        if (end == text)
                return HOST_UNKNOWN;
        return v >= INT64_MAX / 2 ? HOST_NO_LIMIT : v; /* v1: 2^63 less a page */
}

int64_t host_read_number(const char *root, const char *path)
{
        char line[64];

        return host_read_line(root, path, line, sizeof(line)) ? host_parse_number(line, NULL) : HOST_UNKNOWN;
}

bool host_read_keyed(const char *root, const char *path, const char *key, char *ret, size_t size)
{
        _cleanup_fclose_ FILE *f = open_below(root, path);
        size_t n = strlen(key);
        char line[4096];

        while (f && fgets(line, sizeof(line), f)) {
                const char *value = line + n;

                if (strncmp(line, key, n) != 0)
                        continue;
                value += strspn(value, " \t:");
                line[strcspn(line, "\n")] = 0;
                snprintf(ret, size, "%.*s", (int)size - 1, value);
                return true;
        }
        return false;
}

uint64_t host_read_kb(const char *root, const char *path, const char *key)
{
        char text[32];

        return host_read_keyed(root, path, key, text, sizeof(text)) ? strtoull(text, NULL, 10) * KIB : 0;
}

bool host_there(const char *root, const char *path)
{
        char whole[PATH_MAX];

        return snprintf(whole, sizeof(whole), "%s%s", root, path) < (int)sizeof(whole) && access(whole, F_OK) == 0;
}

void host_glob(const char *root, const char *pattern, void (*hit)(void *arg, const char *path), void *arg)
{
        char whole[PATH_MAX];
        glob_t found = {0};

        if (snprintf(whole, sizeof(whole), "%s%s", root, pattern) >= (int)sizeof(whole))
                return;
        if (glob(whole, 0, NULL, &found) == 0)
                for (size_t i = 0; i < found.gl_pathc; i++)
                        hit(arg, found.gl_pathv[i] + strlen(root));
        globfree(&found);
}
