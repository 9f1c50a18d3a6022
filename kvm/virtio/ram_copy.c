/* kvm/virtio/ram_copy.c: plain copies where nothing can be missing, checked ones else. */
#include "kvm/virtio/ram_copy.h"

#include "core/base/checked_copy.h"

#include <stdatomic.h>
#include <string.h>

int ram_gather(bool settled, void *to, const struct iovec *from, size_t nr)
{
        uint8_t *at = to;

        if (!settled)
                return checked_gather(to, from, nr);
        for (size_t i = 0; i < nr; at += from[i].iov_len, i++)
                memcpy(at, from[i].iov_base, from[i].iov_len);
        return 0;
}

int ram_scatter(bool settled, const struct iovec *to, size_t nr, const void *from)
{
        const uint8_t *at = from;

        if (!settled)
                return checked_scatter(to, nr, from);
        for (size_t i = 0; i < nr; at += to[i].iov_len, i++)
                memcpy(to[i].iov_base, at, to[i].iov_len);
        return 0;
}

int ram_load_word(bool settled, const uint8_t *at, uint16_t *ret)
{
        int r;

        /* pairs with the driver's barrier before it moves an index (virtio 1.2, section 2.7.13.3.1) */
        if (settled) {
                *ret = atomic_load_explicit((const _Atomic uint16_t *)(const void *)at, memory_order_acquire);
                return 0;
        }
        r = checked_read(ret, at, sizeof(*ret));
        ram_fence(); /* the kernel's copy promises no order */
        return r;
}

int ram_store_word(bool settled, uint8_t *at, uint16_t value)
{
        /* pairs with the driver's barrier after it read an index (section 2.7.14) */
        if (settled) {
                atomic_store_explicit((_Atomic uint16_t *)(void *)at, value, memory_order_release);
                return 0;
        }
        ram_fence();
        return checked_write(at, &value, sizeof(value));
}
