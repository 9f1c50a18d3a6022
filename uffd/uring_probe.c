/* Only trying tells: a seccomp filter, a sysctl or a kernel without it all answer at io_uring_setup(2). */
#include "uffd/uring_probe.h"

#include <errno.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

void uring_probe(struct host_caps *caps)
{
        struct io_uring_params p = {0};
        long fd = syscall(__NR_io_uring_setup, 1, &p);

        caps->io_uring = fd >= 0;
        caps->io_uring_errno = fd < 0 ? errno : 0;
        if (fd >= 0)
                close((int)fd);
}
