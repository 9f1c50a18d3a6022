/* formats/native_dir.c: the directory of a snapshot is built under a temporary name beside its own. */
#include "formats/native_dir.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "formats/format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* 30 random bits beside one name; a second try is for whoever took the first. 8: arbitrary. */
#define NAME_TRIES 8

/* Removes the directory `name` and the files in it; what is no file of a snapshot's (a directory) stays, and so does its parent. */
static void remove_dir(int parent_fd, const char *name)
{
        int            fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR           *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *entry;

        if (!dir) {
                if (fd >= 0)
                        close(fd);
                return;
        }
        while ((entry = readdir(dir)))
                if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
                        unlinkat(fd, entry->d_name, 0);
        closedir(dir);
        unlinkat(parent_fd, name, AT_REMOVEDIR);
}

void native_dir_free(struct native_dir *d)
{
        if (d->temporary)
                remove_dir(d->parent_fd, d->temporary);
        if (d->fd >= 0)
                close(d->fd);
        if (d->parent_fd >= 0)
                close(d->parent_fd);
        free(d->path);
        free(d->name);
        free(d->temporary);
        *d = (struct native_dir)NATIVE_DIR_NONE;
}

/* Splits path into the directory that holds it, opened, and its last part. */
static int split(struct native_dir *d, const char *path, struct err *e)
{
        _cleanup_free_ char *parent = NULL;
        char                *slash;

        d->path = strdup(path);
        if (!d->path)
                return err_set(e, -ENOMEM, "no memory for a path");
        for (size_t n = strlen(d->path); n > 1 && d->path[n - 1] == '/'; n--)
                d->path[n - 1] = '\0';
        slash = strrchr(d->path, '/');
        d->name = strdup(slash ? slash + 1 : d->path);
        parent = slash ? strndup(d->path, slash == d->path ? 1 : (size_t)(slash - d->path)) : strdup(".");
        if (!d->name || !parent)
                return err_set(e, -ENOMEM, "no memory for a path");
        if (!*d->name || !strcmp(d->name, ".") || !strcmp(d->name, ".."))
                return err_usage(e, "snapshot directory: expected a name of its own, found \"%s\"", path);
        d->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return d->parent_fd < 0 ? err_set(e, -errno, "open directory %s: %s", parent, strerror(errno)) : 0;
}

/* Only another rouse snapshot is replaced: a slip of the hand must not remove somebody's home. */
static int check_old(const struct native_dir *d, struct err *e)
{
        _cleanup_close_ int fd = openat(d->parent_fd, d->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int                 r = fd < 0 ? 0 : format_native.probe(fd, e);

        if (r < 0)
                return err_wrap(e, r, "%s", d->path);
        return r ? 0 : err_set(e, -EEXIST, "%s: expected a rouse snapshot to replace, found something else; choose another name",
                               d->path);
}

static int exists(const struct native_dir *d, struct err *e)
{
        return err_set(e, -EEXIST, "%s: expected no such file, found one; choose another name, or replace the snapshot "
                       "(--replace)", d->path);
}

static int check_target(const struct native_dir *d, bool replace, struct err *e)
{
        struct stat st;

        if (fstatat(d->parent_fd, d->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : err_set(e, -errno, "stat %s: %s", d->path, strerror(errno));
        return replace ? check_old(d, e) : exists(d, e);
}

static int check_space(const struct native_dir *d, uint64_t need_bytes, struct err *e)
{
        struct statvfs v;
        uint64_t       free_bytes;

        if (!need_bytes)
                return 0;
        if (fstatvfs(d->parent_fd, &v) < 0)
                return err_set(e, -errno, "statvfs of %s: %s", d->path, strerror(errno));
        if (__builtin_mul_overflow((uint64_t)v.f_bavail, (uint64_t)v.f_frsize, &free_bytes) || free_bytes >= need_bytes)
                return 0;
        return err_set(e, -ENOSPC, "%s: expected %" PRIu64 " bytes of free space, found %" PRIu64 "; make room or choose another "
                       "file system",
                       d->path, need_bytes, free_bytes);
}

static int make_temporary(struct native_dir *d, struct err *e)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
        uint8_t           random[6];
        char              suffix[sizeof(random) + 1] = "";

        for (int try = 0; try < NAME_TRIES; try++) {
                _cleanup_free_ char *name = NULL;

                if (getrandom(random, sizeof(random), 0) != sizeof(random))
                        return err_set(e, -EIO, "getrandom: it gave too few bytes");
                for (size_t i = 0; i < sizeof(random); i++)
                        suffix[i] = letters[random[i] & 31];
                if (asprintf(&name, ".%s.%s.rouse-tmp", d->name, suffix) < 0)
                        return err_set(e, -ENOMEM, "no memory for a name");
                if (mkdirat(d->parent_fd, name, 0700) == 0) {
                        d->temporary = TAKE_PTR(name);
                        return 0;
                }
                if (errno != EEXIST)
                        return err_set(e, -errno, "make directory %s beside %s: %s", name, d->path, strerror(errno));
        }
        return err_set(e, -EEXIST, "make a temporary directory beside %s: every name is taken", d->path);
}

int native_dir_new(const char *path, bool replace, uint64_t need_bytes, struct native_dir *ret, struct err *e)
{
        _cleanup_(native_dir_free) struct native_dir d = NATIVE_DIR_NONE;
        int                                          r = split(&d, path, e);

        r = r < 0 ? r : check_target(&d, replace, e);
        r = r < 0 ? r : check_space(&d, need_bytes, e);
        r = r < 0 ? r : make_temporary(&d, e);
        if (r < 0)
                return r;
        d.fd = openat(d.parent_fd, d.temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (d.fd < 0)
                return err_set(e, -errno, "open directory %s beside %s: %s", d.temporary, d.path, strerror(errno));
        *ret = d;
        d = (struct native_dir)NATIVE_DIR_NONE;
        return 0;
}

static int rename_failed(const struct native_dir *d, int r, struct err *e)
{
        return err_set(e, r, "rename %s to %s: %s", d->temporary, d->path, strerror(-r));
}

/* The old directory takes the temporary name, and is then removed under it. */
static int exchange(struct native_dir *d, struct err *e)
{
        int r = check_old(d, e);

        if (r < 0)
                return r;
        if (renameat2(d->parent_fd, d->temporary, d->parent_fd, d->name, RENAME_EXCHANGE) < 0)
                return rename_failed(d, -errno, e);
        remove_dir(d->parent_fd, d->temporary);
        return 0;
}

static int move_into_place(struct native_dir *d, bool replace, struct err *e)
{
        if (renameat2(d->parent_fd, d->temporary, d->parent_fd, d->name, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EEXIST)
                return rename_failed(d, -errno, e);
        return replace ? exchange(d, e) : exists(d, e);
}

int native_dir_publish(struct native_dir *d, bool replace, struct err *e)
{
        int r;

        if (fsync(d->fd) < 0)
                return err_set(e, -errno, "fsync %s: %s", d->temporary, strerror(errno));
        r = move_into_place(d, replace, e);
        if (r < 0)
                return r;
        free(TAKE_PTR(d->temporary));
        return fsync(d->parent_fd) < 0 ? err_set(e, -errno, "fsync of the directory of %s: %s", d->path, strerror(errno)) : 0;
}
