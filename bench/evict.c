/* fsync, then POSIX_FADV_DONTNEED, then mincore, until nothing is left or patience is. */
#include "bench/evict.h"

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
        fprintf(stderr, "bench: evict %s: %s\n", what, strerror(errno));
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

static uint64_t evict(int dir_fd, const char *name)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat         st;
        uint64_t            left = 1;

        if (fd < 0 || fstat(fd, &st) < 0)
                die(name);
        if (!S_ISREG(st.st_mode) || st.st_size == 0)
                return 0;
        for (int i = 0; i < TRIES && left > 0; i++) {
                if (fsync(fd) < 0 || (errno = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)) != 0)
                        die(name);
                left = nr_cached(fd, (uint64_t)st.st_size, name);
        }
        return left;
}

uint64_t evict_dir(const char *dir)
{
        DIR     *d = opendir(dir);
        uint64_t left = 0;

        if (!d)
                die(dir);
        for (struct dirent *entry; (entry = readdir(d));)
                if (entry->d_name[0] != '.')
                        left += evict(dirfd(d), entry->d_name);
        closedir(d);
        return left;
}
