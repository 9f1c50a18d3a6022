/* fsync, then POSIX_FADV_DONTNEED, then mincore, until nothing is left or patience is. */
#include "bench/page_cache.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 20 /* pages on a CPU's own list of new ones are passed over: the next round finds them */

static void die(const char *what)
{
        fprintf(stderr, "bench: page cache: %s: %s\n", what, strerror(errno));
        exit(1);
}

static uint64_t nr_cached(int fd, uint64_t bytes, const char *name)
{
        uint64_t                       nr = 0, pages = bytes_to_pages(bytes + PAGE_BYTES - 1);
        _cleanup_free_ unsigned char  *in = malloc(pages + 1);
        void                          *m = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);

        if (!in || m == MAP_FAILED || mincore(m, bytes, in) < 0)
                die(name);
        for (uint64_t i = 0; i < pages; i++)
                nr += in[i] & 1;
        munmap(m, bytes);
        return nr;
}

/* -1: no file, or nothing in it */
static int open_file(int dir_fd, const char *name, uint64_t *ret_bytes)
{
        int         fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                die(name);
        *ret_bytes = (uint64_t)st.st_size;
        if (S_ISREG(st.st_mode) && st.st_size > 0)
                return fd;
        close(fd);
        return -1;
}

static uint64_t evict(int fd, uint64_t bytes, const char *name)
{
        uint64_t left = 1;

        for (int i = 0; i < TRIES && left > 0; i++) {
                if (fsync(fd) < 0 || (errno = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)) != 0)
                        die(name);
                left = nr_cached(fd, bytes, name);
        }
        return left;
}

static uint64_t fill(int fd, uint64_t bytes, const char *name)
{
        _cleanup_free_ void *buf = malloc(MIB);

        if (nr_cached(fd, bytes, name) == bytes_to_pages(bytes + PAGE_BYTES - 1))
                return 0;
        for (uint64_t at = 0; at < bytes; at += MIB)
                if (!buf || pread(fd, buf, MIB, (off_t)at) < 0)
                        die(name);
        return 0;
}

static uint64_t each_file(const char *dir, uint64_t (*what)(int fd, uint64_t bytes, const char *name))
{
        DIR     *d = opendir(dir);
        uint64_t sum = 0;

        if (!d)
                die(dir);
        for (struct dirent *entry; (entry = readdir(d));) {
                uint64_t            bytes = 0;
                _cleanup_close_ int fd = entry->d_name[0] == '.' ? -1 : open_file(dirfd(d), entry->d_name, &bytes);

                if (fd >= 0)
                        sum += what(fd, bytes, entry->d_name);
        }
        closedir(d);
        return sum;
}

uint64_t page_cache_evict_dir(const char *dir)
{
        return each_file(dir, evict);
}

void page_cache_fill_dir(const char *dir)
{
        (void)each_file(dir, fill);
}
