/* core/base/checked_copy.c: the kernel copies between our own pages, and says so when it cannot. */
#include "core/base/checked_copy.h"

#include <errno.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

static size_t total(const struct iovec *v, size_t nr)
{
        size_t sum = 0;

        for (size_t i = 0; i < nr; i++)
                sum += v[i].iov_len;
        return sum;
}

/* What was copied may be short without an error: the rest could not be had. */
static int result(ssize_t copied, size_t wanted)
{
        if (copied < 0)
                return -errno;
        return (size_t)copied == wanted ? 0 : -EFAULT;
}

/* ThreadSanitizer does not see what the kernel copies: a word that says that others are there orders them for it, too. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
static void saw(const struct iovec *v, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                __tsan_acquire(v[i].iov_base);
}
static void shows(const struct iovec *v, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                __tsan_release(v[i].iov_base);
}
#else
static void saw(const struct iovec *v, size_t nr)
{
        (void)v, (void)nr;
}
static void shows(const struct iovec *v, size_t nr)
{
        (void)v, (void)nr;
}
#endif

int checked_gather(void *to, const struct iovec *from, size_t nr)
{
        struct iovec local = { .iov_base = to, .iov_len = total(from, nr) };
        int          r = result(process_vm_readv(getpid(), &local, 1, from, nr, 0), local.iov_len);

        saw(from, nr);
        return r;
}

int checked_scatter(const struct iovec *to, size_t nr, const void *from)
{
        struct iovec local = { .iov_base = (void *)(uintptr_t)from, .iov_len = total(to, nr) };

        shows(to, nr);
        return result(process_vm_writev(getpid(), &local, 1, to, nr, 0), local.iov_len);
}

int checked_read(void *to, const void *from, size_t len_bytes)
{
        struct iovec v = { .iov_base = (void *)(uintptr_t)from, .iov_len = len_bytes };

        return checked_gather(to, &v, 1);
}

int checked_write(void *to, const void *from, size_t len_bytes)
{
        struct iovec v = { .iov_base = to, .iov_len = len_bytes };

        return checked_scatter(&v, 1, from);
}
