/* formats/snapshot_temporary.c: a temporary directory is locked while somebody writes it, and a leftover afterwards. */
#include "formats/snapshot_temporary.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "formats/snapshot_members.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define SUFFIX       ".rouse-tmp"
#define SALT_LETTERS 6

static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";

/* 30 random bits beside one name; a second try is for whoever took the first. 8: arbitrary. */
#define NAME_TRIES 8

/* Is the directory that fd is still the one of this name? */
static bool is_at(int parent_fd, const char *name, int fd)
{
        struct stat there, mine;

        return fstatat(parent_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &mine) == 0 &&
               there.st_dev == mine.st_dev &&
               there.st_ino == mine.st_ino;
}

/* Between the open and the lock it may have been removed or renamed by whoever had the lock: only what is still there counts. */
int snapshot_lock(int parent_fd, const char *name)
{
        _cleanup_close_ int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return errno == ELOOP ? -ENOTDIR : -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        return is_at(parent_fd, name, fd) ? TAKE_FD(fd) : -ENOENT;
}

static int make_name(const char *name, char **ret, struct err *e)
{
        uint8_t random[SALT_LETTERS];
        char    salt[SALT_LETTERS + 1] = "";

        if (getrandom(random, sizeof(random), 0) != sizeof(random))
                return err_set(e, -EIO, "getrandom: it gave too few bytes");
        for (size_t i = 0; i < sizeof(random); i++)
                salt[i] = letters[random[i] & 31];
        return asprintf(ret, ".%s.%s" SUFFIX, name, salt) < 0 ? err_set(e, -ENOMEM, "no memory for a name") : 0;
}

/* Makes it and takes its lock before anybody else does: the descriptor. */
static int make_locked(int parent_fd, const char *temporary)
{
        int fd;

        if (mkdirat(parent_fd, temporary, 0700) < 0)
                return -errno;
        fd = snapshot_lock(parent_fd, temporary);
        if (fd < 0 && fd != -EBUSY) /* that one is about to be swept */
                unlinkat(parent_fd, temporary, AT_REMOVEDIR);
        return fd;
}

int snapshot_temporary_new(int parent_fd, const char *name, const char *path, char **ret_temporary, int *ret_fd, struct err *e)
{
        for (int try = 0; try < NAME_TRIES; try++) {
                _cleanup_free_ char *temporary = NULL;
                int                  r = make_name(name, &temporary, e);

                if (r < 0)
                        return r;
                r = make_locked(parent_fd, temporary);
                if (r >= 0) {
                        *ret_fd = r;
                        *ret_temporary = TAKE_PTR(temporary);
                        return 0;
                }
                if (r != -EEXIST && r != -EBUSY && r != -ENOENT)
                        return err_set(e, r, "make directory %s beside %s: %s", temporary, path, strerror(-r));
        }
        return err_set(e, -EEXIST, "make a temporary directory beside %s: every name is taken", path);
}

static bool is_temporary_of(const char *entry, const char *name)
{
        size_t len = strlen(name);

        return entry[0] == '.' && !strncmp(entry + 1, name, len) && entry[1 + len] == '.' &&
               strspn(entry + len + 2, letters) == SALT_LETTERS && !strcmp(entry + len + 2 + SALT_LETTERS, SUFFIX);
}

/* The lock tells a leftover; whoever has just made it and has no lock yet finds it gone and makes another. */
static void sweep_one(int parent_fd, const char *temporary)
{
        _cleanup_close_ int fd = snapshot_lock(parent_fd, temporary);

        if (fd < 0)
                return;
        snapshot_members_unlink(fd);
        unlinkat(parent_fd, temporary, AT_REMOVEDIR);
}

void snapshot_temporary_sweep(int parent_fd, const char *name)
{
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent      *entry;
        int                 r = fd_list(parent_fd, ".", &dir);

        while (r >= 0 && (entry = readdir(dir)))
                if (is_temporary_of(entry->d_name, name))
                        sweep_one(parent_fd, entry->d_name);
}

void snapshot_temporary_remove(int parent_fd, const char *temporary)
{
        _cleanup_close_ int fd = openat(parent_fd, temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return;
        snapshot_members_unlink(fd);
        unlinkat(parent_fd, temporary, AT_REMOVEDIR);
}
