/* A level-triggered event that is always there makes the worker come back without a wait. */
#include "kvm/device/later.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int later_open(struct later *l)
{
        *l = (struct later){.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)};
        return l->fd < 0 ? -errno : 0;
}

void later_close(struct later *l)
{
        if (l->fd >= 0)
                close(l->fd);
        l->fd = -1;
}

void later_begin(struct later *l)
{
        l->wanted = false;
}

bool later_want(struct later *l, struct virtio_device *d)
{
        if (!l->wanted)
                l->wanted = virtio_watch(d, l->fd, EPOLLIN) >= 0;
        return l->wanted;
}

void later_done(struct later *l, struct virtio_device *d)
{
        if (l->wanted)
                virtio_unwatch(d, l->fd);
        l->wanted = false;
}
