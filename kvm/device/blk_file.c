/* kvm/device/blk_file.c: what may be a disk, how large it is, what O_DIRECT asks for, and who else has it. */
#include "kvm/device/blk_file.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define SECTOR_BYTES    512
#define DIRECT_FALLBACK 4096 /* where the kernel does not say (STATX_DIOALIGN, 6.1): no disk has larger blocks */

/* The bytes that StratoVirt locks, and QEMU: "somebody writes", "somebody writes what does not change", "nobody else may
 * write". */
static const off_t lock_bytes[] = { 101, 102, 202 };

static int open_node(const char *path, bool readonly, struct err *e)
{
        /* O_NONBLOCK: a pipe must not hold us up. O_EXCL means something for block devices only: not when mounted. */
        int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (readonly ? O_RDONLY : O_RDWR | O_EXCL);
        int fd = open(path, flags);

        if (fd >= 0)
                return fd;
        if (errno == EBUSY)
                return err_set(e, -EBUSY, "%s: the block device is mounted or in use: unmount it, or open it readonly", path);
        if (!readonly && (errno == EACCES || errno == EROFS || errno == EPERM))
                return err_set(e, -errno, "%s: cannot be opened for writing: %s; `readonly` needs no permission to write", path,
                               strerror(errno));
        return err_set(e, -errno, "%s: %s", path, strerror(errno));
}

static int measure(struct blk_file *f, struct err *e)
{
        struct stat st;
        int         block_bytes = SECTOR_BYTES;

        if (fstat(f->fd, &st) < 0)
                return err_set(e, -errno, "%s: fstat: %s", f->path, strerror(errno));
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return err_set(e, -EINVAL, "%s: a disk is a regular file or a block device, and this is neither", f->path);
        f->is_block = S_ISBLK(st.st_mode);
        f->size_bytes = (uint64_t)st.st_size;
        if (f->is_block && (ioctl(f->fd, BLKGETSIZE64, &f->size_bytes) < 0 || ioctl(f->fd, BLKSSZGET, &block_bytes) < 0))
                return err_set(e, -errno, "%s: the block device does not tell its size: %s", f->path, strerror(errno));
        f->block_bytes = (uint32_t)block_bytes;
        if (f->size_bytes < SECTOR_BYTES)
                return err_set(e, -EINVAL, "%s: a disk has a sector of 512 bytes at least, and this has %llu bytes", f->path,
                               (unsigned long long)f->size_bytes);
        return 0;
}

static int cannot_direct(const struct blk_file *f, struct err *e)
{
        return err_host(e, -EOPNOTSUPP, "%s: its file system has no direct I/O: use direct=off", f->path);
}

static int find_alignment(struct blk_file *f, struct err *e)
{
        struct statx sx;

        f->mem_align = f->offset_align = 1;
        if (!f->direct)
                return 0;
        f->mem_align = DIRECT_FALLBACK;
        f->offset_align = f->is_block ? f->block_bytes : DIRECT_FALLBACK;
        if (statx(f->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) < 0 || !(sx.stx_mask & STATX_DIOALIGN))
                return 0;
        if (sx.stx_dio_mem_align == 0 || sx.stx_dio_offset_align == 0)
                return cannot_direct(f, e);
        f->mem_align = sx.stx_dio_mem_align;
        f->offset_align = sx.stx_dio_offset_align;
        return 0;
}

static struct flock lock_of(const struct blk_file *f, off_t byte)
{
        return (struct flock){ .l_type = f->readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
}

static int in_use(const struct blk_file *f, off_t byte, struct err *e)
{
        struct flock l = lock_of(f, byte);
        char         who[40] = "";

        /* a lock of a process has its id; one of an open file, such as ours, has none */
        if (fcntl(f->fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK && l.l_pid > 0)
                snprintf(who, sizeof(who), " (process %d)", (int)l.l_pid);
        return err_set(e, -EBUSY,
                       "%s: another VM%s has this disk%s: stop that one, give this one a copy, or open it readonly in both",
                       f->path, who, f->readonly ? " for writing" : "");
}

/* Locks of the open file, not of the process: they conflict with those that StratoVirt takes (F_SETLK), but also between two
 * disks of this process, and closing another descriptor of the same file does not drop them. */
static int lock(const struct blk_file *f, struct err *e)
{
        for (size_t i = 0; i < ARRAY_LEN(lock_bytes); i++) {
                struct flock l = lock_of(f, lock_bytes[i]);

                if (fcntl(f->fd, F_OFD_SETLK, &l) == 0)
                        continue;
                if (errno == EAGAIN || errno == EACCES)
                        return in_use(f, lock_bytes[i], e);
                return err_host(e, -errno,
                                "%s: cannot be locked against a second writer: %s; move it to a file system that has locks",
                                f->path, strerror(errno));
        }
        return 0;
}

int blk_file_open(const char *path, bool readonly, bool direct, struct blk_file *ret, struct err *e)
{
        struct blk_file    f = { .path = path, .readonly = readonly, .direct = direct };
        _cleanup_close_ int fd = open_node(path, readonly, e);
        int                 r;

        if (fd < 0)
                return fd;
        f.fd = fd;
        if ((r = measure(&f, e)) < 0 || (r = lock(&f, e)) < 0)
                return r;
        if (fcntl(fd, F_SETFL, direct ? O_DIRECT : 0) < 0) /* and no O_NONBLOCK: io_uring takes that at its word */
                return errno == EINVAL ? cannot_direct(&f, e) : err_set(e, -errno, "%s: fcntl: %s", path, strerror(errno));
        if ((r = find_alignment(&f, e)) < 0)
                return r;
        f.fd = TAKE_FD(fd);
        *ret = f;
        return 0;
}

void blk_file_close(struct blk_file *f)
{
        if (f->fd >= 0)
                close(f->fd);
        *f = BLK_FILE_NONE;
}

int blk_file_cached(const struct blk_file *f, bool cached)
{
        if (!f->direct)
                return 0;
        return fcntl(f->fd, F_SETFL, cached ? 0 : O_DIRECT) < 0 ? -errno : 0;
}
