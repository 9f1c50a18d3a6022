/* formats/parent_place.c: paths to a parent are made when a child is written. */
#include "formats/parent_place.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <string.h>

void parent_place_free(struct parent_place *p)
{
        free(p->absolute);
        free(p->relative);
        *p = (struct parent_place){ 0 };
}

bool parent_place_is_path(const char *bytes, size_t len, bool absolute)
{
        if (!len || len >= PATH_MAX || (bytes[0] == '/') != absolute)
                return false;
        for (size_t i = 0; i < len; i++)
                if ((unsigned char)bytes[i] < ' ' || bytes[i] == 0x7f)
                        return false;
        return true;
}

/* How much of both is the same whole parts: up to and without the slash that ends them. */
static size_t common_parts(const char *a, const char *b)
{
        size_t same = 0, i = 0;

        for (; a[i] && a[i] == b[i]; i++)
                if (a[i] == '/')
                        same = i;
        if ((!a[i] || a[i] == '/') && (!b[i] || b[i] == '/'))
                same = i;
        return same;
}

char *parent_place_relative(const char *from, const char *to)
{
        size_t same = common_parts(from, to), ups = 0, n = 0, size;
        char  *ret;

        if (!same) /* only the root: what is moved together has more in common */
                return NULL;
        for (const char *p = from + same; *p; p++)
                ups += p[0] == '/' && p[1];
        size = ups * 3 + strlen(to + same) + 2;
        ret = malloc(size);
        if (!ret)
                return NULL;
        for (; ups; ups--, n += 3)
                memcpy(ret + n, "../", 3);
        if (to[same])
                snprintf(ret + n, size - n, "%s", to + same + 1);
        else if (n)
                ret[n - 1] = '\0';
        else
                snprintf(ret, size, ".");
        return ret;
}

/* The absolute path that the child will have. */
static char *path_to_be(const char *child, struct err *e)
{
        _cleanup_free_ char *copy = strdup(child);
        _cleanup_free_ char *dir = NULL;
        char                *slash, *ret = NULL;
        size_t               len = copy ? strlen(copy) : 0;

        while (len > 1 && copy[len - 1] == '/')
                copy[--len] = '\0';
        slash = copy ? strrchr(copy, '/') : NULL;
        if (slash)
                *slash = '\0';
        dir = copy ? realpath(!slash ? "." : slash == copy ? "/" : copy, NULL) : NULL;
        if (!dir)
                err_set(e, -errno, "directory of %s: %s", child, strerror(errno));
        else if (asprintf(&ret, "%s/%s", strcmp(dir, "/") ? dir : "", slash ? slash + 1 : copy) < 0)
                err_set(e, -ENOMEM, "no memory for a path");
        return ret;
}

int parent_place_make(const char *parent, const char *child, struct parent_place *ret, struct err *e)
{
        _cleanup_free_ char                               *to_be = path_to_be(child, e);
        _cleanup_(parent_place_free) struct parent_place p = { 0 };

        if (!to_be)
                return e ? e->code : -ENOENT;
        p.absolute = realpath(parent, NULL);
        if (!p.absolute)
                return err_set(e, -errno, "base %s: %s", parent, strerror(errno));
        if (!parent_place_is_path(p.absolute, strlen(p.absolute), true))
                return err_usage(e, "base: expected a path of plain characters, found one with control characters; rename it");
        p.relative = parent_place_relative(to_be, p.absolute);
        if (p.relative && !parent_place_is_path(p.relative, strlen(p.relative), false)) {
                free(p.relative);
                p.relative = NULL;
        }
        *ret = p;
        p = (struct parent_place){ 0 };
        return 0;
}
