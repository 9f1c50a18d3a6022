/* tests/support/need.c: asks the host itself, not the code under test. */
#include "tests/support/need.h"

#include "core/base/cleanup.h"
#include "core/base/uapi.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void need_lacks(const char *what, int error)
{
        const char *ci = getenv("CI");

        if (ci && !strcmp(ci, "true"))
                cr_assert_fail("%s: %s (a skip elsewhere, a failure where CI=true)", what, strerror(error));
        cr_skip_test("%s: %s", what, strerror(error));
}

void need_kvm(void)
{
        _cleanup_close_ int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

        if (fd < 0)
                need_lacks("/dev/kvm", errno);
}

void need_uffd(void)
{
        _cleanup_close_ int device_fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
        _cleanup_close_ int fd = -1;

        if (device_fd >= 0)
                fd = ioctl(device_fd, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                need_lacks("userfaultfd", errno);
}

void need_io_uring(void)
{
        struct io_uring ring;
        int             r = io_uring_queue_init(1, &ring, 0);

        if (r < 0)
                need_lacks("io_uring", -r);
        io_uring_queue_exit(&ring);
}

void need_loop(void)
{
        _cleanup_close_ int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

        if (fd < 0)
                need_lacks("/dev/loop-control", errno);
}

void need_tap(void)
{
        _cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

        if (fd < 0)
                need_lacks("/dev/net/tun", errno);
        if (unshare(CLONE_NEWNET) < 0)
                need_lacks("a network namespace of its own", errno);
}

void need_file(const char *path)
{
        if (access(path, R_OK) < 0)
                need_lacks(path, errno);
}
