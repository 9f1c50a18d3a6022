/* tests/support/tmpdir.c: makes and removes the directory. */
#include "tests/support/tmpdir.h"

#include "core/base/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPLATE "rouse-test.XXXXXX"

/* Where the tests are built there is room, and `make clean` takes what a failed test left. */
static void executable_dir(char *ret_path, size_t size)
{
        ssize_t n = readlink("/proc/self/exe", ret_path, size - 1);

        cr_assert(n > 0, "readlink /proc/self/exe: %m");
        ret_path[n] = '\0';
        *strrchr(ret_path, '/') = '\0';
}

struct tmpdir tmpdir_new(void)
{
        const char   *chosen = getenv("TMPDIR");
        char          parent[PATH_MAX - sizeof(TEMPLATE) - 1];
        struct tmpdir t;

        if (chosen && *chosen == '/')
                cr_assert((size_t)snprintf(parent, sizeof(parent), "%s", chosen) < sizeof(parent), "TMPDIR is too long");
        else
                executable_dir(parent, sizeof(parent));
        snprintf(t.path, sizeof(t.path), "%s/%s", parent, TEMPLATE);
        cr_assert_not_null(mkdtemp(t.path), "mkdtemp %s: %m", t.path);
        t.fd = open(t.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert(t.fd >= 0, "open %s: %m", t.path);
        return t;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
        (void)st;
        (void)type;
        (void)where;
        return remove(path);
}

void tmpdir_free(struct tmpdir *t)
{
        if (t->fd < 0)
                return;
        close(t->fd);
        t->fd = -1;
        /* 16: descriptors that nftw may hold, arbitrary */
        if (nftw(t->path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
                cr_log_warn("could not remove %s: %s", t->path, strerror(errno));
}

void tmpdir_write(const struct tmpdir *t, const char *name, const void *buf, size_t len_bytes)
{
        _cleanup_close_ int fd = openat(t->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        cr_assert(fd >= 0, "create %s/%s: %m", t->path, name);
        cr_assert_eq(write(fd, buf, len_bytes), (ssize_t)len_bytes, "write %s/%s: %m", t->path, name);
}
