/* core/model/vm_state_equal.c: compares two saved machines piece by piece, and names the first difference. */
#include "core/model/vm_pieces.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WHAT_BYTES 80

/* Says what differs and answers false, so that "return differ(...)" is one statement. */
__attribute__((format(printf, 2, 3)))
static bool differ(char *ret_what, const char *fmt, ...)
{
        va_list ap;

        if (ret_what) {
                va_start(ap, fmt);
                vsnprintf(ret_what, WHAT_BYTES, fmt, ap);
                va_end(ap);
        }
        return false;
}

/* The first offset at which the two differ; the shorter one's end where one goes on; SIZE_MAX where they are equal. */
static size_t first_difference(struct piece_bytes a, struct piece_bytes b)
{
        size_t both = MIN(a.len, b.len);

        for (size_t i = 0; i < both; i++)
                if (a.p[i] != b.p[i])
                        return i;
        return a.len == b.len ? SIZE_MAX : both;
}

static bool name_vcpu_piece(const struct vcpu_state *v, uint32_t i, enum vcpu_piece p, size_t at, char *ret_what)
{
        size_t n = at / vcpu_places[p].element_bytes;

        switch (p) {
        case VCPU_MSRS:
                return differ(ret_what, "vcpu %u msr %#x", i, v->msrs[n].index);
        case VCPU_CPUID:
                return differ(ret_what, "vcpu %u cpuid leaf %#x index %u", i, v->cpuid[n].function, v->cpuid[n].index);
        default:
                return differ(ret_what, "vcpu %u %s byte %zu", i, vcpu_piece_name(p), at);
        }
}

static bool vcpu_piece_equal(const struct vcpu_state *a, const struct vcpu_state *b, uint32_t i, enum vcpu_piece p,
                             char *ret_what)
{
        struct piece_bytes x = piece_bytes(a, &vcpu_places[p]), y = piece_bytes(b, &vcpu_places[p]);
        size_t             at = first_difference(x, y);

        if (at == SIZE_MAX)
                return true;
        if (at == MIN(x.len, y.len))
                return differ(ret_what, "vcpu %u %s: %zu and %zu", i, vcpu_piece_name(p), x.len / vcpu_places[p].element_bytes,
                              y.len / vcpu_places[p].element_bytes);
        return name_vcpu_piece(a, i, p, at, ret_what);
}

static bool topology_equal(const struct cpu_topology *a, const struct cpu_topology *b)
{
        return a->max_vcpus == b->max_vcpus && a->threads == b->threads && a->cores == b->cores && a->dies == b->dies &&
               a->sockets == b->sockets && a->u8_offsets == b->u8_offsets;
}

static bool vcpu_equal(const struct vcpu_state *a, const struct vcpu_state *b, uint32_t i, char *ret_what)
{
        if (a->apic_id != b->apic_id)
                return differ(ret_what, "vcpu %u apic_id", i);
        if (a->cpuid_origin != b->cpuid_origin)
                return differ(ret_what, "vcpu %u cpuid_origin", i);
        if (!topology_equal(&a->topology, &b->topology))
                return differ(ret_what, "vcpu %u topology", i);
        for (unsigned int p = 0; p < VCPU_PIECES; p++) {
                if ((a->have ^ b->have) >> p & 1)
                        return differ(ret_what, "vcpu %u %s: only one has it", i, vcpu_piece_name(p));
                if ((a->have >> p & 1) && !vcpu_piece_equal(a, b, i, p, ret_what))
                        return false;
        }
        return true;
}

static bool platform_equal(const struct platform_state *a, const struct platform_state *b, char *ret_what)
{
        for (unsigned int p = 0; p < PLATFORM_PIECES; p++) {
                size_t at;

                if ((a->have ^ b->have) >> p & 1)
                        return differ(ret_what, "%s: only one has it", platform_piece_name(p));
                if (!(a->have >> p & 1))
                        continue;
                at = first_difference(piece_bytes(a, &platform_places[p]), piece_bytes(b, &platform_places[p]));
                if (at != SIZE_MAX)
                        return differ(ret_what, "%s byte %zu", platform_piece_name(p), at);
        }
        return true;
}

/* Field by field: this struct is our own, its padding says nothing. */
static bool serial_equal(const struct serial_state *a, const struct serial_state *b)
{
        return a->ier == b->ier && a->iir == b->iir && a->fcr == b->fcr && a->lcr == b->lcr && a->mcr == b->mcr &&
               a->lsr == b->lsr && a->msr == b->msr && a->scr == b->scr && a->divisor == b->divisor &&
               a->thr_pending == b->thr_pending && a->rx_len == b->rx_len &&
               memcmp(a->rx, b->rx, MIN(a->rx_len, (size_t)SERIAL_RX_MAX)) == 0;
}

/* A device is called by its slot where it has one, else by its kind. */
static bool virtio_equal(const struct virtio_state *a, const struct virtio_state *b, char *ret_what)
{
        char field[64];

        if (virtio_state_equal(a, b, field))
                return true;
        if (a->slot == VIRTIO_SLOT_UNKNOWN)
                return differ(ret_what, "virtio %s %s", virtio_kind_name(a->kind), field);
        return differ(ret_what, "virtio slot %u %s", a->slot, field);
}

static bool device_equal(const struct device_record *a, const struct device_record *b, uint32_t i, char *ret_what)
{
        if (a->kind != b->kind || strncmp(a->id, b->id, sizeof(a->id)) != 0)
                return differ(ret_what, "device %u: %.31s and %.31s", i, a->id, b->id);
        switch (a->kind) {
        case DEVICE_SERIAL:
                return serial_equal(&a->u.serial, &b->u.serial) || differ(ret_what, "device %u %.31s", i, a->id);
        case DEVICE_VIRTIO:
                return virtio_equal(&a->u.virtio, &b->u.virtio, ret_what);
        }
        return differ(ret_what, "device %u: of no known kind", i);
}

bool vm_state_equal(const struct vm_state *a, const struct vm_state *b, char ret_what[WHAT_BYTES])
{
        if (a->machine != b->machine)
                return differ(ret_what, "machine");
        if (strncmp(a->cpu_vendor, b->cpu_vendor, sizeof(a->cpu_vendor)) != 0)
                return differ(ret_what, "cpu vendor");
        if (a->nr_vcpus != b->nr_vcpus)
                return differ(ret_what, "vcpus: %u and %u", a->nr_vcpus, b->nr_vcpus);
        for (uint32_t i = 0; i < a->nr_vcpus; i++)
                if (!vcpu_equal(&a->vcpus[i], &b->vcpus[i], i, ret_what))
                        return false;
        if (!platform_equal(&a->platform, &b->platform, ret_what))
                return false;
        if (a->nr_devices != b->nr_devices)
                return differ(ret_what, "devices: %u and %u", a->nr_devices, b->nr_devices);
        for (uint32_t i = 0; i < a->nr_devices; i++)
                if (!device_equal(&a->devices[i], &b->devices[i], i, ret_what))
                        return false;
        return true;
}
