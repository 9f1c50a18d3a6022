/* fsync, then POSIX_FADV_DONTNEED, then mincore, until nothing is left or patience is. */
#include "bench/run/page_cache.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define TRIES 20 /* pages on a CPU's own list of new ones are passed over: the next round finds them */

struct work {
        uint64_t left;
        char    *file; /* that has some left */
};

static int nr_cached(int fd, uint64_t bytes, uint64_t *ret)
{
        uint64_t                      nr = 0, pages = bytes_to_pages(bytes + PAGE_BYTES - 1);
        _cleanup_free_ unsigned char *in = calloc(pages + 1, 1);
        void                         *m;
        int                           r;

        if (!in)
                return -ENOMEM;
        m = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
        if (m == MAP_FAILED)
                return -errno;
        r = mincore(m, bytes, in) < 0 ? -errno : 0;
        munmap(m, bytes);
        if (r < 0)
                return r;
        for (uint64_t i = 0; i < pages; i++)
                nr += in[i] & 1;
        *ret = nr;
        return 0;
}

static int evict(int fd, uint64_t bytes, const char *name, struct work *w)
{
        uint64_t left = 1;
        int r = 0;

        for (int i = 0; i < TRIES && left > 0 && r == 0; i++) {
                r = fsync(fd) < 0 ? -errno : -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
                if (r == 0)
                        r = nr_cached(fd, bytes, &left);
        }
        if (r == 0 && left > 0 && !w->file)
                w->file = strdup(name);
        w->left += r == 0 ? left : 0;
        return r;
}

static int fill(int fd, uint64_t bytes, const char *name, struct work *w)
{
        _cleanup_free_ void *buf = malloc(MIB);
        uint64_t there = 0;
        int r = buf ? nr_cached(fd, bytes, &there) : -ENOMEM;
        (void)name;
        (void)w;

        if (r < 0 || there == bytes_to_pages(bytes + PAGE_BYTES - 1))
                return r;
        for (uint64_t at = 0; at < bytes; at += MIB)
                if (pread(fd, buf, MIB, (off_t)at) < 0)
                        return -errno;
        return 0;
}

typedef int (*file_work)(int fd, uint64_t bytes, const char *name, struct work *w);

/* What is no file, or has nothing in it, is passed over. */
static int on_file(int dir_fd, const char *name, file_work what, struct work *w)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat st = {0};

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        return S_ISREG(st.st_mode) && st.st_size > 0 ? what(fd, (uint64_t)st.st_size, name, w) : 0;
}

static int on_path(const char *path, file_work what, struct work *w, struct err *e)
{
        _cleanup_closedir_ DIR *d = opendir(path);
        int r = 0;

        if (!d && errno != ENOTDIR)
                return err_set(e, -errno, "page cache: %s: %s", path, strerror(errno));
        if (!d) {
                r = on_file(AT_FDCWD, path, what, w);
                return r < 0 ? err_set(e, r, "page cache: %s: %s", path, strerror(-r)) : 0;
        }
        for (struct dirent *entry; r == 0 && (entry = readdir(d));) {
                if (entry->d_name[0] == '.')
                        continue;
                r = on_file(dirfd(d), entry->d_name, what, w);
                if (r < 0)
                        err_set(e, r, "page cache: %s/%s: %s", path, entry->d_name, strerror(-r));
        }
        return r;
}

int page_cache_evict(const char *path, uint64_t *ret_left, char **ret_file, struct err *e)
{
        struct work w = {0};
        int r = on_path(path, evict, &w, e);

        if (r < 0) {
                free(w.file);
                return r;
        }
        *ret_left = w.left;
        *ret_file = w.file;
        return 0;
}

int page_cache_fill(const char *path, struct err *e)
{
        struct work w = {0};

        return on_path(path, fill, &w, e);
}
