/* tests/support/loop.c: takes a free loop device; it frees itself when the last descriptor of it is closed. */
#include "tests/support/loop.h"

#include "core/base/cleanup.h"
#include "tests/support/need.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TRIES 20 /* somebody else may take the free one first */

struct loop loop_new(const char *file, uint32_t block_bytes)
{
        _cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        _cleanup_close_ int fd = open(file, O_RDWR | O_CLOEXEC);
        struct loop_config  c = { .fd = (uint32_t)fd, .block_size = block_bytes, .info.lo_flags = LO_FLAGS_AUTOCLEAR };
        struct loop         l = { .fd = -1 };

        need_loop();
        cr_assert(control >= 0 && fd >= 0);
        for (int i = 0; i < TRIES; i++) {
                snprintf(l.path, sizeof(l.path), "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
                l.fd = open(l.path, O_RDWR | O_CLOEXEC);
                if (l.fd >= 0 && ioctl(l.fd, LOOP_CONFIGURE, &c) == 0)
                        return l;
                if (l.fd >= 0)
                        close(l.fd);
        }
        cr_assert_fail("no loop device for %s: %m", file);
        return l;
}

void loop_free(struct loop *l)
{
        if (l->fd >= 0)
                close(l->fd);
        l->fd = -1;
}
