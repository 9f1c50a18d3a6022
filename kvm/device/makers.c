/* kvm/device/makers.c: every kind of virtio device there is. */
#include "core/base/units.h"
#include "kvm/virtio/device.h"

static const struct virtio_maker *const makers[] = {
        &net_maker, &blk_maker, &console_maker, &rng_maker, &balloon_maker, &vsock_maker,
};

const struct virtio_maker *virtio_maker_find(enum virtio_kind kind)
{
        for (size_t i = 0; i < ARRAY_LEN(makers); i++)
                if (makers[i]->kind == kind)
                        return makers[i];
        return NULL;
}
