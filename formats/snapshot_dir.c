/* formats/snapshot_dir.c: the directory of a snapshot is built under a temporary name beside its own. */
#include "formats/snapshot_dir.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/format.h"
#include "formats/snapshot_members.h"
#include "formats/snapshot_temporary.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

void snapshot_dir_free(struct snapshot_dir *d)
{
        if (d->temporary)
                snapshot_temporary_remove(d->parent_fd, d->temporary);
        if (d->fd >= 0)
                close(d->fd);
        if (d->parent_fd >= 0)
                close(d->parent_fd);
        free(d->path);
        free(d->name);
        free(d->temporary);
        *d = (struct snapshot_dir)SNAPSHOT_DIR_NONE;
}

/* Splits path into the directory that holds it, opened, and its last part. */
static int split(struct snapshot_dir *d, const char *path, struct err *e)
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

static int not_a_snapshot(const struct snapshot_dir *d, const char *what, struct err *e)
{
        return err_set(e, -EEXIST, "%s: expected a snapshot to replace, found %s; choose another name", d->path, what);
}

/* Of any format: 1, 0 or -errno. */
static int is_snapshot(int dir_fd, struct err *e)
{
        int r = 0;

        for (size_t i = 0; r == 0 && formats[i]; i++)
                r = formats[i]->probe(dir_fd, e);
        return r;
}

/* Only another snapshot is replaced: a slip of the hand must not remove somebody's home. Returns its descriptor; its lock keeps
 * a second rouse from replacing it at the same time. */
static int lock_old(const struct snapshot_dir *d, struct err *e)
{
        _cleanup_close_ int fd = snapshot_lock(d->parent_fd, d->name);
        int                 r;

        if (fd == -ENOTDIR)
                return not_a_snapshot(d, "something that is no directory", e);
        if (fd == -EBUSY)
                return err_set(e, fd, "%s: expected nobody else to replace it, found that another process does; try again",
                               d->path);
        if (fd < 0)
                return err_set(e, fd, "open snapshot %s: %s", d->path, strerror(-fd));
        r = is_snapshot(fd, e);
        if (r < 0)
                return err_wrap(e, r, "%s", d->path);
        r = r ? snapshot_members_only(fd, d->path, e) : not_a_snapshot(d, "another directory", e);
        return r < 0 ? r : TAKE_FD(fd);
}

static int check_old(const struct snapshot_dir *d, struct err *e)
{
        _cleanup_close_ int fd = lock_old(d, e);

        return MIN(fd, 0);
}

static int exists(const struct snapshot_dir *d, struct err *e)
{
        return err_set(e, -EEXIST, "%s: expected no such file, found one; choose another name, or replace the snapshot "
                       "(--replace)", d->path);
}

/* A directory that somebody made for the snapshot to be. */
static bool is_empty(const struct snapshot_dir *d)
{
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent      *entry;
        bool                empty = fd_list(d->parent_fd, d->name, &dir) >= 0;

        while (empty && (entry = readdir(dir)))
                empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
        return empty;
}

static int check_target(const struct snapshot_dir *d, bool replace, struct err *e)
{
        struct stat st;

        if (fstatat(d->parent_fd, d->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : err_set(e, -errno, "stat %s: %s", d->path, strerror(errno));
        if (S_ISDIR(st.st_mode) && is_empty(d))
                return 0;
        if (!replace)
                return exists(d, e);
        return S_ISLNK(st.st_mode) ? not_a_snapshot(d, "that it is a symbolic link", e) : check_old(d, e);
}

static int check_space(const struct snapshot_dir *d, uint64_t need_bytes, struct err *e)
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

int snapshot_dir_new(const char *path, bool replace, uint64_t need_bytes, struct snapshot_dir *ret, struct err *e)
{
        _cleanup_(snapshot_dir_free) struct snapshot_dir d = SNAPSHOT_DIR_NONE;
        int                                          r = split(&d, path, e);

        r = r < 0 ? r : check_target(&d, replace, e);
        if (r < 0)
                return r;
        snapshot_temporary_sweep(d.parent_fd, d.name); /* before the free space is looked at */
        r = check_space(&d, need_bytes, e);
        r = r < 0 ? r : snapshot_temporary_new(d.parent_fd, d.name, d.path, &d.temporary, &d.fd, e);
        if (r < 0)
                return r;
        *ret = d;
        d = (struct snapshot_dir)SNAPSHOT_DIR_NONE;
        return 0;
}

static int rename_failed(const struct snapshot_dir *d, int r, struct err *e)
{
        return err_set(e, r, "rename %s to %s: %s", d->temporary, d->path, strerror(-r));
}

/* The old directory takes the temporary name. Returns its descriptor: while that is open, nobody sweeps it away. */
static int exchange(const struct snapshot_dir *d, struct err *e)
{
        _cleanup_close_ int old_fd = lock_old(d, e);

        if (old_fd < 0)
                return old_fd;
        if (renameat2(d->parent_fd, d->temporary, d->parent_fd, d->name, RENAME_EXCHANGE) < 0)
                return rename_failed(d, -errno, e);
        return TAKE_FD(old_fd);
}

/* ret_old_fd: that of the old one, where there was one. */
static int move_into_place(struct snapshot_dir *d, bool replace, int *ret_old_fd, struct err *e)
{
        int r;

        if (renameat2(d->parent_fd, d->temporary, d->parent_fd, d->name, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EEXIST)
                return rename_failed(d, -errno, e);
        /* rename(2) takes the place of an empty directory and of nothing else that is there */
        if (renameat(d->parent_fd, d->temporary, d->parent_fd, d->name) == 0) {
                d->was_empty = true;
                return 0;
        }
        r = replace ? exchange(d, e) : exists(d, e);
        if (r < 0)
                return r;
        *ret_old_fd = r;
        return 0;
}

/* Nobody knows whether the rename is on disk (r says why), so it must not have happened. Where that fails too, nothing is removed
 * any more: what has the temporary name then may be the old snapshot. */
static int move_back(struct snapshot_dir *d, bool exchanged, int r, struct err *e)
{
        unsigned int how = exchanged ? RENAME_EXCHANGE : RENAME_NOREPLACE;

        if (renameat2(d->parent_fd, d->name, d->parent_fd, d->temporary, how) == 0) {
                if (d->was_empty)
                        mkdirat(d->parent_fd, d->name, 0777); /* less the umask, as mkdir(1) made it */
                return err_set(e, r, "fsync of the directory of %s: %s", d->path, strerror(-r));
        }
        err_set(e, r, "fsync of the directory of %s: %s; and it could not be renamed back to %s: %s", d->path, strerror(-r),
                d->temporary, strerror(errno));
        free(TAKE_PTR(d->temporary));
        return r;
}

int snapshot_dir_publish(struct snapshot_dir *d, bool replace, struct err *e)
{
        _cleanup_close_ int old_fd = -1;
        int                 r;

        if (fsync(d->fd) < 0)
                return err_set(e, -errno, "fsync %s: %s", d->temporary, strerror(errno));
        r = move_into_place(d, replace, &old_fd, e);
        if (r < 0)
                return r;
        /* before the old one is removed: power that goes in between must not take both */
        if (fsync(d->parent_fd) < 0)
                return move_back(d, old_fd >= 0, -errno, e);
        if (old_fd >= 0)
                snapshot_temporary_remove(d->parent_fd, d->temporary);
        free(TAKE_PTR(d->temporary));
        return 0;
}
