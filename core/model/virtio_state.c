/* core/model/virtio_state.c: what the kinds of virtio devices are called. */
#include "core/model/virtio_state.h"

#include <string.h>

static const struct {
        enum virtio_kind kind;
        const char      *name;
} names[] = {
        { VIRTIO_NET, "net" }, { VIRTIO_BLK, "blk" },         { VIRTIO_CONSOLE, "console" },
        { VIRTIO_RNG, "rng" }, { VIRTIO_BALLOON, "balloon" }, { VIRTIO_VSOCK, "vsock" },
};

const char *virtio_kind_name(enum virtio_kind kind)
{
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (names[i].kind == kind)
                        return names[i].name;
        return "unknown";
}

enum virtio_kind virtio_kind_find(const char *name)
{
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (strcmp(names[i].name, name) == 0)
                        return names[i].kind;
        return VIRTIO_NONE;
}
