/* mkdtemp, flock and nftw. */
#include "bench/run/scratch.h"

#include "core/base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* --- what dead benches left --- */

/* Somebody's who is dead: ours by owner and mode, marked, and the lock is free. Between mkdtemp and its lock a directory has no
 * mark yet. */
static bool is_stale(int in_fd, const char *name)
{
        _cleanup_close_ int fd = openat(in_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        return fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 07777) == 0700 &&
               flock(fd, LOCK_EX | LOCK_NB) == 0 && faccessat(fd, SCRATCH_MARK, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void sweep(const char *in)
{
        _cleanup_closedir_ DIR *d = opendir(in);

        for (struct dirent *entry; d && (entry = readdir(d));) {
                char path[PATH_MAX];

                if (strncmp(entry->d_name, SCRATCH_PREFIX, strlen(SCRATCH_PREFIX)) != 0 || !is_stale(dirfd(d), entry->d_name) ||
                    snprintf(path, sizeof(path), "%s/%s", in, entry->d_name) >= (int)sizeof(path))
                        continue;
                scratch_clear(path);
                fprintf(stderr, "rouse bench: removed %s, which a bench that was killed had left\n", path);
        }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
        (void)st;
        (void)type;
        (void)at;
        remove(path);
        return 0;
}

void scratch_clear(const char *path)
{
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- one's own --- */

/* On a file system without locks it gets no mark: nobody could tell that its bench is dead, and nobody will remove it. */
static int mark(int dir_fd)
{
        _cleanup_close_ int fd = -1;

        if (flock(dir_fd, LOCK_EX) < 0) /* a sweep may hold it for a moment */
                return 0;
        fd = openat(dir_fd, SCRATCH_MARK, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        return fd < 0 ? -errno : 0;
}

static int make_in(struct scratch *s, const char *in)
{
        int r;

        if (snprintf(s->path, sizeof(s->path), "%s/" SCRATCH_PREFIX "XXXXXX", in) >= (int)sizeof(s->path)) {
                s->path[0] = 0;
                return -ENAMETOOLONG;
        }
        if (!mkdtemp(s->path)) {
                r = -errno;
                s->path[0] = 0;
                return r;
        }
        s->lock_fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return s->lock_fd < 0 ? -errno : mark(s->lock_fd);
}

int scratch_make(struct scratch *s, struct err *e)
{
        const char *tmpdir = getenv("TMPDIR"), *in = tmpdir && tmpdir[0] ? tmpdir : "/tmp";
        char whole[PATH_MAX];
        int r;

        *s = (struct scratch){.lock_fd = -1};
        if (in[0] != '/' && realpath(in, whole)) /* whoever gets it by the environment may stand elsewhere */
                in = whole;
        sweep(in);
        r = make_in(s, in);
        if (r < 0)
                err_set(e, r, "no directory for temporary files in %s: %s; TMPDIR may name another one", in, strerror(-r));
        else
                r = guard_start(&s->guard, s->path, s->lock_fd, e);
        if (r < 0)
                scratch_remove(s);
        return r;
}

void scratch_remove(struct scratch *s)
{
        if (!s->path[0])
                return;
        scratch_clear(s->path);
        guard_dismiss(&s->guard);
        cleanup_close(&s->lock_fd);
        *s = (struct scratch){.lock_fd = -1};
}

int scratch_subdir(const struct scratch *s, const char *name, char *ret, size_t size, struct err *e)
{
        if (snprintf(ret, size, "%s/%s", s->path, name) >= (int)size)
                return err_set(e, -ENAMETOOLONG, "%s/%s: the path is too long", s->path, name);
        if (mkdir(ret, 0700) < 0 && errno != EEXIST)
                return err_set(e, -errno, "%s: %s", ret, strerror(errno));
        return 0;
}
