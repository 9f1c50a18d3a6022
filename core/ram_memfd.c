/* Guest RAM in a memfd of the VM's own, mapped shared. Zero runs are its holes: nobody else maps it, so a page that the guest
 * writes there is the guest's, as an anonymous one would be. */
#include "core/guest_ram.h"

#include "core/base/cleanup.h"
#include "core/base/uapi.h"
#include "core/huge_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Sealed: who is given it can rely on its size. */
static int make_memfd(uint64_t size_bytes, bool huge)
{
        _cleanup_close_ int fd = memfd_create("rouse-ram",
                                              MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));

        if (fd < 0 || ftruncate(fd, (off_t)size_bytes) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* At a 2 MiB boundary: room is reserved by a mapping that takes no memory, and its middle is mapped over. */
static void *map_aligned(uint64_t size_bytes, int fd)
{
        uint64_t room_bytes = size_bytes + HUGE_PAGE_BYTES;
        uint8_t *room = mmap(NULL, room_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        uint8_t *base, *m;
        int error;

        if (room == MAP_FAILED)
                return MAP_FAILED;
        base = (uint8_t *)align_up((uint64_t)room, HUGE_PAGE_BYTES);
        m = mmap(base, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
        error = errno;
        if (m == MAP_FAILED) {
                munmap(room, room_bytes);
                errno = error;
                return MAP_FAILED;
        }
        if (base != room)
                munmap(room, (size_t)(base - room));
        if (base + size_bytes != room + room_bytes)
                munmap(base + size_bytes, (size_t)(room + room_bytes - base - size_bytes));
        return m;
}

static int err_map(uint64_t size_bytes, bool huge, int r, struct err *e)
{
        if (huge && (r == -ENOMEM || r == -ENOSPC))
                return huge_pool_refuse(size_bytes, e); /* others were faster */
        return err_host(e, r, "map %llu bytes of guest RAM as a memfd: %s", (unsigned long long)size_bytes, strerror(-r));
}

static int map_memfd(enum ram_backing backing, uint64_t size_bytes, struct guest_ram *ret, struct err *e)
{
        bool huge = backing == RAM_HUGETLB;
        int r = huge ? huge_pool_check(size_bytes, e) : 0;
        _cleanup_close_ int fd = -1;
        void *base;

        if (r < 0)
                return r;
        fd = make_memfd(size_bytes, huge);
        if (fd < 0)
                return err_map(size_bytes, huge, fd, e);
        base = map_aligned(size_bytes, fd); /* without MAP_NORESERVE: huge pages that could not be had later would be a SIGBUS */
        if (base == MAP_FAILED)
                return err_map(size_bytes, huge, -errno, e);
        madvise(base, size_bytes, MADV_DONTFORK);
        /* shmem may be huge, too, where the host says so: a byte of it would hide the rest of its 2 MiB from the pager */
        if (!huge)
                madvise(base, size_bytes, MADV_NOHUGEPAGE);
        *ret = (struct guest_ram){.base = base, .size_bytes = size_bytes, .backing = backing, .fd = TAKE_FD(fd)};
        return 0;
}

int guest_ram_map_as(enum ram_backing backing, uint64_t size_bytes, bool huge, struct guest_ram *ret, struct err *e)
{
        return backing == RAM_ANON ? guest_ram_map(size_bytes, huge, ret, e) : map_memfd(backing, size_bytes, ret, e);
}
