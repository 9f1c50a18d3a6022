/* formats/part.c: a name in a snapshot's directory may lead anywhere; only regular files inside it are opened. */
#include "formats/part.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY)

void part_close(struct part *p)
{
        if (p->fd >= 0)
                close(p->fd);
        p->fd = -1;
}

static int open_failed(const char *name, int r, struct err *e)
{
        if (r == -ENOENT)
                return r;
        if (r == -EXDEV)
                return err_bad(e, name, ERR_NO_OFFSET, "expected a file inside the snapshot's directory, found a link that leads "
                               "out of it"
                               "; put the file itself there");
        if (r == -ELOOP || r == -ENXIO)
                return err_bad(e, name, ERR_NO_OFFSET, "expected a regular file, found %s; use another copy of the snapshot",
                               r == -ELOOP ? "a loop of links" : "a socket or a device");
        return err_set(e, r, "open %s: %s", name, strerror(-r));
}

/* Takes fd. */
static int accept_file(int fd, const char *name, struct part *ret, struct err *e)
{
        _cleanup_close_ int mine = fd;
        struct stat         st;

        if (fstat(fd, &st) < 0)
                return err_set(e, -errno, "stat %s: %s", name, strerror(errno));
        if (!S_ISREG(st.st_mode))
                return err_bad(e, name, ERR_NO_OFFSET, "expected a regular file, found another kind (mode %#o)"
                               "; use another copy of the snapshot", (unsigned int)(st.st_mode & S_IFMT));
        /* whoever reads from it later must not see EAGAIN: io_uring takes O_NONBLOCK at its word */
        if (fcntl(fd, F_SETFL, 0) < 0)
                return err_set(e, -errno, "fcntl %s: %s", name, strerror(errno));
        *ret = (struct part){ .fd = TAKE_FD(mine), .size_bytes = (uint64_t)st.st_size };
        return 0;
}

int part_open(int dir_fd, const char *name, struct part *ret, struct err *e)
{
        int         fd = fd_open_beneath(dir_fd, name, OPEN_FLAGS, 0);
        struct stat st;

        if (fd == -ENOENT && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) /* that is not: no file */
                return err_bad(e, name, ERR_NO_OFFSET, "expected a regular file, found a link that leads nowhere; use another copy of the snapshot, or remove it");
        return fd < 0 ? open_failed(name, fd, e) : accept_file(fd, name, ret, e);
}

int part_open_needed(int dir_fd, const char *name, struct part *ret, struct err *e)
{
        int r = part_open(dir_fd, name, ret, e);

        if (r == -ENOENT)
                return err_bad(e, name, ERR_NO_OFFSET, "expected a file of this name in the snapshot's directory, found none"
                               "; the copy is incomplete");
        return r;
}

int part_open_path(const char *path, struct part *ret, struct err *e)
{
        int fd = open(path, OPEN_FLAGS | O_CLOEXEC);

        return fd < 0 ? open_failed(path, -errno, e) : accept_file(fd, path, ret, e);
}

int part_read(const struct part *p, const char *name, const char *what, uint64_t offset_bytes, void *buf, uint64_t len,
              struct err *e)
{
        ssize_t n = fd_pread_full(p->fd, buf, len, offset_bytes);

        if (n < 0)
                return err_set(e, (int)n, "read %s at offset %" PRIu64 ": %s", name, offset_bytes, strerror((int)-n));
        if ((uint64_t)n != len)
                return err_bad(e, name, offset_bytes, "expected %" PRIu64 " bytes of %s, found %zd; the file is cut short, use "
                               "another copy",
                               len, what, n);
        return 0;
}
