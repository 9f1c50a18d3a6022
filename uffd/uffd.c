/* uffd/uffd.c: the ioctls of userfaultfd, and the only place that reads their errno. */
#include "uffd/uffd.h"

#include "core/base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static_assert(sizeof(struct uffd_msg) == 32, "the kernel writes messages of 32 bytes");
static_assert(sizeof(struct uffdio_copy) == 40, "UFFDIO_COPY");
static_assert(sizeof(struct uffdio_zeropage) == 32, "UFFDIO_ZEROPAGE");
static_assert(sizeof(struct uffdio_continue) == 32, "UFFDIO_CONTINUE, Linux 5.13");
static_assert(sizeof(struct uffdio_poison) == 32, "UFFDIO_POISON, Linux 6.6");
static_assert(sizeof(struct uffdio_move) == 40, "UFFDIO_MOVE, Linux 6.8");

static int uffd_ioctl(int fd, unsigned long request, void *arg)
{
        return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

static int open_by_device(void)
{
        _cleanup_close_ int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
        int                 fd;

        if (dev < 0)
                return -errno;
        fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
        return fd < 0 ? -errno : fd;
}

/* Without UFFD_USER_MODE_ONLY: KVM takes the guest's faults from kernel mode. */
static int open_by_syscall(void)
{
        long fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

        return fd < 0 ? -errno : (int)fd;
}

static int open_by(enum uffd_way way)
{
        switch (way) {
        case UFFD_WAY_DEVICE:
                return open_by_device();
        case UFFD_WAY_SYSCALL:
                return open_by_syscall();
        case UFFD_WAY_NONE:
                break;
        }
        return -EPERM;
}

static int handshake(int fd, uint64_t features, uint64_t *ret_features)
{
        struct uffdio_api api = { .api = UFFD_API, .features = features };
        int               r = uffd_ioctl(fd, UFFDIO_API, &api);

        if (r < 0)
                return r;
        *ret_features = api.features;
        return 0;
}

static int probe_way(enum uffd_way way, uint64_t *ret_features)
{
        _cleanup_close_ int fd = open_by(way);

        return fd < 0 ? fd : handshake(fd, 0, ret_features);
}

void uffd_probe(struct host_caps *caps)
{
        uint64_t features = 0;
        int      r;

        caps->uffd_way = UFFD_WAY_DEVICE;
        r = probe_way(UFFD_WAY_DEVICE, &features);
        if (r < 0) {
                /* Its errno is the one to show: ENOSYS or EPERM, where the device merely says ENOENT. */
                caps->uffd_way = UFFD_WAY_SYSCALL;
                r = probe_way(UFFD_WAY_SYSCALL, &features);
        }
        if (r < 0)
                caps->uffd_way = UFFD_WAY_NONE;
        caps->uffd_errno = -r;
        caps->uffd_features = features;
        caps->uffd_poison = features & UFFD_FEATURE_POISON;
        caps->uffd_minor_shmem = features & UFFD_FEATURE_MINOR_SHMEM;
        caps->uffd_minor_hugetlbfs = features & UFFD_FEATURE_MINOR_HUGETLBFS;
        caps->uffd_move = features & UFFD_FEATURE_MOVE;
}

int uffd_open(const struct host_caps *caps, uint64_t features, int *ret_fd, struct err *e)
{
        _cleanup_close_ int fd = open_by(caps->uffd_way);
        uint64_t            got;
        int                 r;

        if (fd == -EPERM || fd == -EACCES)
                return err_host(e, fd, "userfaultfd: expected permission to serve faults of kernel mode, found %s; "
                                "setfacl -m u:$USER:rw /dev/userfaultfd, or sysctl -w vm.unprivileged_userfaultfd=1",
                                strerror(-fd));
        if (fd == -ENOSYS)
                return err_host(e, fd,
                                "userfaultfd: expected a kernel with CONFIG_USERFAULTFD, found none; boot one that has it");
        if (fd < 0)
                return err_host(e, fd, "userfaultfd: open: %s", strerror(-fd));
        r = handshake(fd, features, &got);
        if (r < 0)
                return err_host(e, r, "userfaultfd: features %#llx: %s; this needs Linux 6.1 or later",
                                (unsigned long long)features, strerror(-r));
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static struct uffdio_range range_of(const void *start, uint64_t len_bytes)
{
        return (struct uffdio_range){ .start = (uintptr_t)start, .len = len_bytes };
}

/* Huge pages have no UFFDIO_ZEROPAGE. */
static uint64_t ioctls_needed(uint64_t mode)
{
        return 1ULL << _UFFDIO_WAKE | 1ULL << _UFFDIO_COPY | (mode & UFFDIO_REGISTER_MODE_MINOR ? 1ULL << _UFFDIO_CONTINUE : 0);
}

int uffd_register(int uffd, const void *start, uint64_t len_bytes, uint64_t mode)
{
        struct uffdio_register reg = { .range = range_of(start, len_bytes), .mode = mode };
        int                    r = uffd_ioctl(uffd, UFFDIO_REGISTER, &reg);

        if (r < 0)
                return r;
        if ((reg.ioctls & ioctls_needed(mode)) == ioctls_needed(mode))
                return 0;
        uffd_unregister(uffd, start, len_bytes);
        return -EOPNOTSUPP;
}

int uffd_unregister(int uffd, const void *start, uint64_t len_bytes)
{
        struct uffdio_range range = range_of(start, len_bytes);

        return uffd_ioctl(uffd, UFFDIO_UNREGISTER, &range);
}

int uffd_wake(int uffd, const void *start, uint64_t len_bytes)
{
        struct uffdio_range range = range_of(start, len_bytes);

        return uffd_ioctl(uffd, UFFDIO_WAKE, &range);
}

/* The kernel's "how far" is a byte count or, where nothing was done, a negative errno. */
static uint64_t done_bytes(int64_t told)
{
        return told > 0 ? (uint64_t)told : 0;
}

int uffd_copy(int uffd, void *dst, const void *src, uint64_t len_bytes, bool wake, uint64_t *ret_done_bytes)
{
        struct uffdio_copy c = {
                .dst  = (uintptr_t)dst,
                .src  = (uintptr_t)src,
                .len  = len_bytes,
                .mode = wake ? 0 : UFFDIO_COPY_MODE_DONTWAKE,
        };
        int r = uffd_ioctl(uffd, UFFDIO_COPY, &c);

        *ret_done_bytes = done_bytes(c.copy);
        return r;
}

int uffd_zeropage(int uffd, void *dst, uint64_t len_bytes, bool wake, uint64_t *ret_done_bytes)
{
        struct uffdio_zeropage z = {
                .range = range_of(dst, len_bytes),
                .mode  = wake ? 0 : UFFDIO_ZEROPAGE_MODE_DONTWAKE,
        };
        int r = uffd_ioctl(uffd, UFFDIO_ZEROPAGE, &z);

        *ret_done_bytes = done_bytes(z.zeropage);
        return r;
}

int uffd_continue(int uffd, void *dst, uint64_t len_bytes, uint64_t *ret_done_bytes)
{
        struct uffdio_continue c = { .range = range_of(dst, len_bytes) };
        int                    r = uffd_ioctl(uffd, UFFDIO_CONTINUE, &c);

        *ret_done_bytes = done_bytes(c.mapped);
        return r;
}

int uffd_move(int uffd, void *dst, void *src, uint64_t len_bytes, uint64_t *ret_done_bytes)
{
        struct uffdio_move m = { .dst = (uintptr_t)dst, .src = (uintptr_t)src, .len = len_bytes };
        int                r = uffd_ioctl(uffd, UFFDIO_MOVE, &m);

        *ret_done_bytes = done_bytes(m.move);
        return r;
}

int uffd_poison(int uffd, void *dst, uint64_t len_bytes, uint64_t *ret_done_bytes)
{
        struct uffdio_poison p = { .range = range_of(dst, len_bytes) };
        int                  r = uffd_ioctl(uffd, UFFDIO_POISON, &p);

        *ret_done_bytes = done_bytes(p.updated);
        return r;
}

int uffd_read_events(int uffd, struct uffd_msg *msgs, size_t nr)
{
        ssize_t n;

        do
                n = read(uffd, msgs, nr * sizeof(*msgs));
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        return (int)((size_t)n / sizeof(*msgs));
}
