/* core/base/fdio.c: whole reads and writes, and names opened below a directory. */
#include "core/base/fdio.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* A rename that races with a ".." makes openat2 say EAGAIN instead of guessing; 16 tries: arbitrary, each is independent. */
#define OPEN_TRIES 16

int fd_open_beneath(int dir_fd, const char *name, int flags, mode_t mode)
{
        bool            makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
        struct open_how how = {
                .flags   = (uint64_t)(unsigned int)flags | O_CLOEXEC,
                .mode    = makes ? mode : 0, /* openat2 refuses a mode that nothing would use */
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
        };
        long fd;

        for (int i = 0; i < OPEN_TRIES; i++) {
                fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
                if (fd >= 0)
                        return (int)fd;
                if (errno != EAGAIN && errno != EINTR)
                        return -errno;
        }
        return -EAGAIN;
}

ssize_t fd_pread_full(int fd, void *buf, size_t len_bytes, uint64_t offset_bytes)
{
        size_t  done = 0;
        ssize_t n;

        if (len_bytes > SSIZE_MAX || !range_fits(offset_bytes, len_bytes, INT64_MAX))
                return -EINVAL;
        while (done < len_bytes) {
                n = pread(fd, (char *)buf + done, len_bytes - done, (off_t)(offset_bytes + done));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                done += (size_t)n;
        }
        return (ssize_t)done;
}

int fd_pwrite_full(int fd, const void *buf, size_t len_bytes, uint64_t offset_bytes)
{
        size_t  done = 0;
        ssize_t n;

        if (!range_fits(offset_bytes, len_bytes, INT64_MAX))
                return -EFBIG;
        while (done < len_bytes) {
                n = pwrite(fd, (const char *)buf + done, len_bytes - done, (off_t)(offset_bytes + done));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO;
                done += (size_t)n;
        }
        return 0;
}

/* Goes done_bytes further in v; how many pieces are used up. */
static size_t advance_pieces(struct iovec *v, size_t nr, size_t done_bytes)
{
        size_t i = 0;

        while (i < nr && done_bytes >= v[i].iov_len)
                done_bytes -= v[i++].iov_len;
        if (i < nr) {
                v[i].iov_base = (char *)v[i].iov_base + done_bytes;
                v[i].iov_len -= done_bytes;
        }
        return i;
}

int fd_pwritev_full(int fd, struct iovec *v, size_t nr, uint64_t offset_bytes)
{
        size_t  used;
        ssize_t n;

        for (; nr > 0; v += used, nr -= used) {
                n = pwritev(fd, v, (int)nr, (off_t)offset_bytes);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return -EIO;
                used = n < 0 ? 0 : advance_pieces(v, nr, (size_t)n);
                offset_bytes += n < 0 ? 0 : (uint64_t)n;
        }
        return 0;
}

int fd_list(int dir_fd, const char *name, DIR **ret)
{
        int  fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

        if (!dir) {
                int r = -errno;

                if (fd >= 0)
                        close(fd);
                return r;
        }
        *ret = dir;
        return 0;
}

int fd_write_full(int fd, const void *buf, size_t len_bytes)
{
        size_t  done = 0;
        ssize_t n;

        while (done < len_bytes) {
                n = write(fd, (const char *)buf + done, len_bytes - done);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO;
                done += (size_t)n;
        }
        return 0;
}

/* How much to ask for first: the size where the file has one (files of /proc say 0), and one byte more to see the end. */
static int first_guess(int fd, size_t max_bytes, size_t *ret_bytes)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max_bytes)
                return -EFBIG;
        *ret_bytes = MIN(MAX((size_t)st.st_size, (size_t)PAGE_BYTES), max_bytes) + 1;
        return 0;
}

int fd_read_all(int fd, size_t max_bytes, void **ret_buf, size_t *ret_len_bytes)
{
        _cleanup_free_ char *buf = NULL;
        size_t               cap = PAGE_BYTES, len = 0;
        ssize_t              n;
        char                *grown;
        int                  r;

        max_bytes = MIN(max_bytes, (size_t)SSIZE_MAX - 1);
        r = first_guess(fd, max_bytes, &cap);
        if (r < 0)
                return r;
        for (;;) {
                grown = realloc(buf, cap);
                if (!grown)
                        return -ENOMEM;
                buf = grown;
                n = fd_pread_full(fd, buf + len, cap - len, len);
                if (n < 0)
                        return (int)n;
                len += (size_t)n;
                if (len < cap)
                        break; /* the end was seen, and there is room for the NUL */
                if (len > max_bytes)
                        return -EFBIG;
                cap = cap <= max_bytes / 2 ? cap * 2 : max_bytes + 1;
        }
        buf[len] = '\0';
        *ret_buf = TAKE_PTR(buf);
        *ret_len_bytes = len;
        return 0;
}

static int make_dir(const char *path, mode_t mode)
{
        struct stat st;

        if (mkdir(path, mode) == 0)
                return 0;
        if (errno != EEXIST)
                return -errno;
        if (stat(path, &st) < 0)
                return -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int fd_make_dirs(const char *path, mode_t mode)
{
        char   p[PATH_MAX]; /* as long as mkdir(2) takes it */
        size_t len = strlen(path);
        int    r;

        if (!len)
                return -ENOENT;
        if (len >= sizeof(p))
                return -ENAMETOOLONG;
        memcpy(p, path, len + 1);
        /* from the second character on: "/" itself is always there */
        for (char *slash = strchr(p + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                r = make_dir(p, mode);
                *slash = '/';
                if (r < 0)
                        return r;
        }
        return make_dir(p, mode);
}
