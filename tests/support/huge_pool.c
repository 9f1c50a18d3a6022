/* tests/support/huge_pool.c: adds to vm.nr_hugepages, under a lock that all tests take. */
#include "tests/support/huge_pool.h"

#include "core/base/cleanup.h"
#include "tests/support/need.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static unsigned added; /* each Criterion test is a process of its own */

static long get(const char *path)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        long n = -1;

        return f && fscanf(f, "%ld", &n) == 1 ? n : -1;
}

static int set(long n)
{
        _cleanup_close_ int fd = open(POOL "nr_hugepages", O_WRONLY | O_CLOEXEC);

        return fd < 0 || dprintf(fd, "%ld", n) < 0 ? -errno : 0;
}

static void compact(void)
{
        _cleanup_close_ int fd = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);

        if (fd >= 0)
                dprintf(fd, "1");
}

/* Held until it is closed. */
static int lock(void)
{
        int fd = open("/tmp/rouse-test-huge-pool.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);

        if (fd >= 0)
                flock(fd, LOCK_EX);
        return fd;
}

void need_hugetlb(unsigned nr)
{
        _cleanup_close_ int fd = lock();
        long before = get(POOL "nr_hugepages"), after;
        int r;

        if (before < 0)
                need_lacks("2 MiB pages", ENODEV);
        r = set(before + nr);
        if (r < 0)
                need_lacks("a larger pool of 2 MiB pages (vm.nr_hugepages)", -r);
        for (int i = 0; i < 3 && get(POOL "nr_hugepages") < before + (long)nr; i++) {
                compact(); /* there is memory, but not in one piece */
                set(before + nr);
        }
        after = get(POOL "nr_hugepages");
        if (after < before + (long)nr) {
                set(before);
                need_lacks("a larger pool of 2 MiB pages (vm.nr_hugepages): no memory in one piece", ENOMEM);
        }
        added += nr;
}

void huge_pool_give_back(void)
{
        _cleanup_close_ int fd = lock();

        if (added)
                set(get(POOL "nr_hugepages") - added);
        added = 0;
}
