/* Reads a kernel file, checked, into a buffer or into guest RAM. */
#include "kvm/boot/image.h"

#include "core/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int boot_file_open(const char *what, const char *path, struct boot_file *ret, struct err *e)
{
        struct boot_file f = { .path = path };
        struct stat      st;

        /* O_NONBLOCK: a FIFO that nobody writes to does not hold us up before fstat tells what it is */
        f.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (f.fd < 0)
                return err_set(e, -errno, "%s '%s': %s", what, path, strerror(errno));
        if (fstat(f.fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
                close(f.fd);
                return err_set(e, -EINVAL, "%s '%s': expected a regular file that is not empty", what, path);
        }
        f.size_bytes = (uint64_t)st.st_size;
        *ret = f;
        return 0;
}

void boot_file_close(struct boot_file *f)
{
        if (f->fd >= 0)
                close(f->fd);
        f->fd = -1;
}

int boot_file_read(const struct boot_file *f, uint64_t offset_bytes, void *buf, uint64_t len_bytes, struct err *e)
{
        ssize_t n;

        if (!range_fits(offset_bytes, len_bytes, f->size_bytes))
                return err_set(e, -ENOEXEC, "%s: offset %" PRIu64 ": expected %" PRIu64 " bytes, found a file of %" PRIu64,
                               f->path, offset_bytes, len_bytes, f->size_bytes);
        n = fd_pread_full(f->fd, buf, len_bytes, offset_bytes);
        if (n < 0)
                return err_set(e, (int)n, "%s: offset %" PRIu64 ": %s", f->path, offset_bytes, strerror((int)-n));
        if ((uint64_t)n < len_bytes)
                return err_set(e, -EIO, "%s: offset %" PRIu64 ": expected %" PRIu64 " bytes, found %zd: the file has shrunk",
                               f->path, offset_bytes, len_bytes, n);
        return 0;
}

int boot_file_to_ram(const struct boot_file *f, uint64_t offset_bytes, const struct mem_layout *l, gpa_t gpa, uint64_t len_bytes,
                     struct err *e)
{
        uint8_t *hva = gpa >= BOOT_IMAGE_MIN ? mem_layout_gpa_to_hva(l, gpa, len_bytes) : NULL;

        if (!hva)
                return err_set(e, -ENOEXEC, "%s: expected room for %" PRIu64 " bytes at guest address %#" PRIx64
                               " in RAM above 1 MiB, found none; give the VM more memory", f->path, len_bytes, gpa);
        return boot_file_read(f, offset_bytes, hva, len_bytes, e);
}
