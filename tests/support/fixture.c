/* tests/support/fixture.c: unpacks beside its final name and renames, so that whoever comes second finds all or nothing. */
#include "tests/support/fixture.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "tests/support/child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

/* Strings that live as long as the process: a test asks for a few, and nobody frees them. */
#define PATHS_MAX 16
static char paths[PATHS_MAX][PATH_MAX];
static int  nr_paths;

static const char *keep(const char *path)
{
        for (int i = 0; i < nr_paths; i++)
                if (!strcmp(paths[i], path))
                        return paths[i];
        cr_assert_lt(nr_paths, PATHS_MAX, "too many fixtures for one process");
        snprintf(paths[nr_paths], PATH_MAX, "%s", path);
        return paths[nr_paths++];
}

static bool try_source(const char *dir, const char *name, char *ret)
{
        char manifest[PATH_MAX + 32];

        if (!dir || snprintf(ret, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
                return false;
        snprintf(manifest, sizeof(manifest), "%s/manifest.json", ret);
        return access(manifest, R_OK) == 0;
}

/* The source root is above the working directory, wherever make was called. */
static bool search_upwards(const char *name, char *ret)
{
        char root[PATH_MAX - 32], dir[PATH_MAX], *slash;

        if (!getcwd(root, sizeof(root)))
                return false;
        do {
                snprintf(dir, sizeof(dir), "%s/tests/data", root);
                if (try_source(dir, name, ret))
                        return true;
                snprintf(dir, sizeof(dir), "%s/../shared/fixtures", root);
                if (try_source(dir, name, ret))
                        return true;
                slash = strrchr(root, '/');
                if (slash)
                        *slash = '\0';
        } while (slash);
        return false;
}

const char *fixture_source(const char *name)
{
        const char *ci = getenv("CI");
        char        dir[PATH_MAX];

        if (try_source(getenv("ROUSE_FIXTURES"), name, dir) || search_upwards(name, dir))
                return keep(dir);
        if (ci && !strcmp(ci, "true"))
                cr_assert_fail("fixture %s: not found (a skip elsewhere, a failure where CI=true)", name);
        cr_skip_test("fixture %s: not found in ROUSE_FIXTURES, tests/data, ../shared/fixtures", name);
}

static void cache_dir(char *ret)
{
        const char *chosen = getenv("ROUSE_FIXTURE_CACHE");
        int         r;

        if (chosen && *chosen)
                snprintf(ret, PATH_MAX, "%s", chosen);
        else
                snprintf(ret, PATH_MAX, "/tmp/rouse-fixtures-%u", (unsigned int)getuid());
        r = fd_make_dirs(ret, 0700);
        cr_assert_eq(r, 0, "make %s: %s", ret, strerror(-r));
}

/* The manifest holds the sums of the files: another manifest is another fixture, whatever its name. */
static unsigned int version_of(const char *source)
{
        _cleanup_close_ int  dir_fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int  fd = openat(dir_fd, "manifest.json", O_RDONLY | O_CLOEXEC);
        _cleanup_free_ void *text = NULL;
        size_t               len;

        cr_assert(fd >= 0, "open manifest.json of %s: %m", source);
        cr_assert_eq(fd_read_all(fd, 1 << 20, &text, &len), 0);
        return (unsigned int)XXH3_64bits(text, len);
}

static const char unpack_script[] = "set -e; for f in \"$1\"/*; do case $f in"
                                    " *.tar.zst) zstd -q -dc --long=27 \"$f\" | tar -C \"$2\" --sparse -xf - ;;"
                                    " *) cp \"$f\" \"$2/\" ;; esac; done";

static void run(const char *script, const char *a, const char *b)
{
        pid_t pid = fork();
        int   status = -1;

        cr_assert(pid >= 0, "fork: %m");
        if (pid == 0) {
                execlp("sh", "sh", "-c", script, "sh", a, b, (char *)NULL);
                _exit(127);
        }
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        cr_assert_eq(status, 0, "%s: status %#x for %s (tar and zstd are needed)", script, status, a);
}

static void unpack(const char *source, const char *cache, const char *to)
{
        char temporary[PATH_MAX];

        snprintf(temporary, sizeof(temporary), "%.*s/unpack.XXXXXX", PATH_MAX - 32, cache);
        cr_assert_not_null(mkdtemp(temporary), "mkdtemp %s: %m", temporary);
        run(unpack_script, source, temporary);
        if (rename(temporary, to) == 0)
                return;
        cr_assert(errno == EEXIST || errno == ENOTEMPTY, "rename %s to %s: %m", temporary, to);
        run("rm -rf \"$1\"", temporary, "");
}

const char *fixture_dir(const char *name)
{
        const char *source = fixture_source(name);
        char        cache[PATH_MAX], dir[PATH_MAX + 300], flat[256];

        cache_dir(cache);
        snprintf(flat, sizeof(flat), "%s", name);
        for (char *p = flat; *p; p++)
                if (*p == '/')
                        *p = '+';
        snprintf(dir, sizeof(dir), "%s/%s.%08x", cache, flat, version_of(source));
        if (access(dir, F_OK) != 0)
                unpack(source, cache, dir);
        return keep(dir);
}

void fixture_copy(const char *name, const char *to)
{
        struct child c = RUN(60000, "/bin/cp", "-r", "--sparse=always", "--preserve=timestamps", fixture_dir(name), to);

        cr_assert_eq(c.status, 0, "cp: %s", c.err);
        child_free(&c);
}
