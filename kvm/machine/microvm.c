/* StratoVirt's microvm map, which is rouse's own machine too: addresses and interrupts as in reference/stratovirt.md 2.1. */
#include "kvm/machine/machine.h"

#include <inttypes.h>
#include <stdio.h>

#define SIZE_MIN_BYTES MIB         /* what the boot structures below 1 MiB need */
#define SIZE_MAX_BYTES (512 * GIB) /* StratoVirt's own limit */
#define GPA_4G         (4 * GIB)

const struct machine machine_microvm = {
        .kind             = MACHINE_MICROVM,
        .name             = "microvm",
        .ram_below_4g_max = 3 * GIB,
        .tss_gpa          = 0xfef0d000,
        .identity_map_gpa = 0xfef0c000,
        .serial_port      = 0x3f8,
        .serial_irq       = 4,
        .mmio_first       = 0xf0100000,
        .mmio_end         = 0xfec00000,
        .mmio_stride      = 0x200,
        .nr_slots         = 11, /* interrupts 5 to 15 */
        .first_irq        = 5,
        .nr_fixed         = 6,
        .fixed            = { VIRTIO_BLK, VIRTIO_BLK, VIRTIO_BLK, VIRTIO_BLK, VIRTIO_NET, VIRTIO_NET },
};

static const struct machine *const machines[] = { &machine_microvm };

const struct machine *machine_find(enum machine_kind kind)
{
        for (size_t i = 0; i < ARRAY_LEN(machines); i++)
                if (machines[i]->kind == kind)
                        return machines[i];
        return NULL;
}

int machine_cmdline(const struct machine *m, uint32_t slots, char *ret, size_t size)
{
        size_t len = 0;

        if (size)
                *ret = 0;
        for (uint32_t i = 0; i < m->nr_slots; i++) {
                if (!(slots >> i & 1))
                        continue;
                len += (size_t)snprintf(len < size ? ret + len : NULL, len < size ? size - len : 0,
                                        " virtio_mmio.device=%u@0x%08" PRIx64 ":%u",
                                        m->mmio_stride, m->mmio_first + (uint64_t)i * m->mmio_stride, m->first_irq + i);
        }
        return (int)len;
}

int machine_layout(const struct machine *m, uint64_t size_bytes, struct mem_layout *ret, struct err *e)
{
        struct mem_layout l = { 0 };
        uint64_t          below_bytes = MIN(size_bytes, m->ram_below_4g_max);
        int               r;

        if (!is_page_aligned(size_bytes) || size_bytes < SIZE_MIN_BYTES || size_bytes > SIZE_MAX_BYTES)
                return err_usage(e, "memory of a %s: expected whole 4 KiB pages from 1 MiB to 512 GiB, found %" PRIu64 " bytes",
                                 m->name, size_bytes);
        r = mem_layout_add(&l, 0, below_bytes, e);
        if (r >= 0 && size_bytes > m->ram_below_4g_max)
                r = mem_layout_add(&l, GPA_4G, size_bytes - below_bytes, e);
        if (r < 0)
                return r;
        *ret = l;
        return 0;
}
