/* kvm/device/makers.c: the kinds of virtio devices that there are. */
#include "kvm/virtio/device.h"

static const struct virtio_maker *const makers[] = {
        NULL, /* ends it */
};

const struct virtio_maker *virtio_maker_find(enum virtio_kind kind)
{
        for (const struct virtio_maker *const *m = makers; *m; m++)
                if ((*m)->kind == kind)
                        return *m;
        return NULL;
}
