/* mkdtemp and nftw. */
#include "bench/run/scratch.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int scratch_make(struct scratch *s, struct err *e)
{
        const char *in = getenv("TMPDIR");

        if (snprintf(s->path, sizeof(s->path), "%s/rouse-bench-XXXXXX", in && in[0] ? in : "/tmp") >= (int)sizeof(s->path) || !mkdtemp(s->path)) {
                int r = errno ? -errno : -ENAMETOOLONG;

                s->path[0] = 0;
                return err_set(e, r, "no directory for temporary files in %s: %s; TMPDIR may name another one", in &&
                               in[0] ? in : "/tmp", strerror(-r));
        }
        return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
        (void)st;
        (void)type;
        (void)at;
        remove(path);
        return 0;
}

void scratch_remove(struct scratch *s)
{
        if (s->path[0])
                nftw(s->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        s->path[0] = 0;
}

int scratch_subdir(const struct scratch *s, const char *name, char *ret, size_t size, struct err *e)
{
        if (snprintf(ret, size, "%s/%s", s->path, name) >= (int)size)
                return err_set(e, -ENAMETOOLONG, "%s/%s: the path is too long", s->path, name);
        if (mkdir(ret, 0700) < 0 && errno != EEXIST)
                return err_set(e, -errno, "%s: %s", ret, strerror(errno));
        return 0;
}
