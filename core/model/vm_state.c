/* core/model/vm_state.c: making and giving back the state of a machine, and what its pieces are called. */
#include "core/model/vm_state.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const vcpu_piece_names[] = {
        [VCPU_CPUID]     = "cpuid",
        [VCPU_TSC_KHZ]   = "tsc_khz",
        [VCPU_MP_STATE]  = "mp_state",
        [VCPU_SREGS]     = "sregs",
        [VCPU_REGS]      = "regs",
        [VCPU_FPU]       = "fpu",
        [VCPU_XSAVE]     = "xsave",
        [VCPU_XCRS]      = "xcrs",
        [VCPU_DEBUGREGS] = "debugregs",
        [VCPU_LAPIC]     = "lapic",
        [VCPU_MSRS]      = "msrs",
        [VCPU_NESTED]    = "nested",
        [VCPU_EVENTS]    = "events",
};
static_assert(ARRAY_LEN(vcpu_piece_names) == VCPU_PIECES, "every piece of a vCPU has its name");

static const char *const platform_piece_names[] = {
        [PLATFORM_PIC_MASTER] = "pic_master",
        [PLATFORM_PIC_SLAVE]  = "pic_slave",
        [PLATFORM_IOAPIC]     = "ioapic",
        [PLATFORM_PIT]        = "pit",
        [PLATFORM_CLOCK]      = "clock",
};
static_assert(ARRAY_LEN(platform_piece_names) == PLATFORM_PIECES, "every piece of the platform has its name");

const char *vcpu_piece_name(enum vcpu_piece p)
{
        return (unsigned int)p < VCPU_PIECES ? vcpu_piece_names[p] : "unknown";
}

const char *platform_piece_name(enum platform_piece p)
{
        return (unsigned int)p < PLATFORM_PIECES ? platform_piece_names[p] : "unknown";
}

int vm_state_init(struct vm_state *s, enum machine_kind machine, uint32_t nr_vcpus)
{
        struct vcpu_state *vcpus;

        if (nr_vcpus < 1 || nr_vcpus > VCPUS_MAX)
                return -EINVAL;
        vcpus = calloc(nr_vcpus, sizeof(*vcpus));
        if (!vcpus)
                return -ENOMEM;
        *s = (struct vm_state){ .machine = machine, .nr_vcpus = nr_vcpus, .vcpus = vcpus };
        return 0;
}

static void vcpu_state_free(struct vcpu_state *v)
{
        free(v->cpuid);
        free(v->xsave);
        free(v->msrs);
        free(v->nested);
}

void vm_state_free(struct vm_state *s)
{
        if (!s)
                return;
        for (uint32_t i = 0; s->vcpus && i < s->nr_vcpus; i++)
                vcpu_state_free(&s->vcpus[i]);
        free(s->vcpus);
        free(s->devices);
        *s = (struct vm_state){ 0 };
}

struct device_record *vm_state_add_device(struct vm_state *s, enum device_kind kind, const char *id)
{
        struct device_record *grown = reallocarray(s->devices, (size_t)s->nr_devices + 1, sizeof(*grown));
        struct device_record *d;

        if (!grown)
                return NULL;
        s->devices = grown;
        d = &grown[s->nr_devices++];
        *d = (struct device_record){ .kind = kind };
        snprintf(d->id, sizeof(d->id), "%s", id);
        return d;
}

const struct device_record *vm_state_device(const struct vm_state *s, enum device_kind kind)
{
        for (uint32_t i = 0; i < s->nr_devices; i++)
                if (s->devices[i].kind == kind)
                        return &s->devices[i];
        return NULL;
}

const struct virtio_state *vm_state_virtio(const struct vm_state *s, uint32_t slot)
{
        for (uint32_t i = 0; i < s->nr_devices; i++)
                if (s->devices[i].kind == DEVICE_VIRTIO && s->devices[i].u.virtio.slot == slot)
                        return &s->devices[i].u.virtio;
        return NULL;
}
