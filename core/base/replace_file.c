/* core/base/replace_file.c: a file changes whole or not at all, whenever the power goes. */
#include "core/base/fdio.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* 64 random bits do not meet twice; a second try is for whoever prepared the first name. 4: arbitrary. */
#define NAME_TRIES 4

/* Splits name into the directory, opened anew so that it can be synced (dir_fd may be AT_FDCWD or O_PATH), and the last part. */
static int open_parent(int dir_fd, const char *name, const char **ret_last)
{
        const char *slash = strrchr(name, '/');
        char        dir[PATH_MAX] = ".";
        int         fd;

        if (slash && (size_t)(slash - name) + 2 > sizeof(dir))
                return -ENAMETOOLONG;
        if (slash)
                snprintf(dir, sizeof(dir), "%.*s/", (int)(slash - name), name);
        if (slash && dir_fd != AT_FDCWD)
                fd = fd_open_beneath(dir_fd, dir, O_RDONLY | O_DIRECTORY, 0);
        else
                /* the user's own path, or the directory itself */
                fd = openat(dir_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return slash && dir_fd != AT_FDCWD ? fd : -errno;
        *ret_last = slash ? slash + 1 : name;
        return fd;
}

/* A rename over /dev/null or over a link to somewhere else is not what anybody meant by writing to it. */
static int check_target(int dir_fd, const char *name)
{
        struct stat st;

        if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
                return -EINVAL;
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (S_ISLNK(st.st_mode))
                return -ELOOP;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

/* The directory in which *ret_last is, or may come to be, a regular file. */
static int open_place(int dir_fd, const char *name, const char **ret_last)
{
        _cleanup_close_ int fd = open_parent(dir_fd, name, ret_last);
        int                 r = fd < 0 ? fd : check_target(fd, *ret_last);

        return r < 0 ? r : TAKE_FD(fd);
}

static int create_temporary(int dir_fd, mode_t mode, char *ret_name, size_t size)
{
        uint64_t salt;
        int      fd;

        for (int i = 0; i < NAME_TRIES; i++) {
                if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
                        return -EIO;
                snprintf(ret_name, size, ".%016llx.rouse-tmp", (unsigned long long)salt);
                fd = openat(dir_fd, ret_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
                if (fd >= 0)
                        return fd;
                if (errno != EEXIST)
                        return -errno;
        }
        return -EEXIST;
}

static int fill_and_rename(int dir_fd, int fd, const char *temporary, const char *name, const void *buf, size_t len_bytes)
{
        int r = fd_write_full(fd, buf, len_bytes);

        if (r < 0)
                return r;
        if (fsync(fd) < 0)
                return -errno;
        if (renameat(dir_fd, temporary, dir_fd, name) < 0)
                return -errno;
        return 0;
}

int fd_may_replace_file(int dir_fd, const char *name)
{
        const char         *last = name;
        _cleanup_close_ int parent_fd = open_place(dir_fd, name, &last);

        if (parent_fd < 0)
                return parent_fd;
        return faccessat(parent_fd, ".", W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

int fd_may_write_file(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return errno == ENOENT ? fd_may_replace_file(AT_FDCWD, path) : -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0 ? -errno : 0;
}

int fd_replace_file(int dir_fd, const char *name, const void *buf, size_t len_bytes, mode_t mode)
{
        const char         *last = name;
        _cleanup_close_ int parent_fd = open_place(dir_fd, name, &last), fd = -1;
        char                temporary[64];
        int                 r;

        if (parent_fd < 0)
                return parent_fd;
        fd = create_temporary(parent_fd, mode, temporary, sizeof(temporary));
        if (fd < 0)
                return fd;
        r = fill_and_rename(parent_fd, fd, temporary, last, buf, len_bytes);
        if (r < 0) {
                unlinkat(parent_fd, temporary, 0);
                return r;
        }
        return fsync(parent_fd) < 0 ? -errno : 0;
}
