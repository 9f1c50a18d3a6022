/* formats/stratovirt_write_check.c: what a machine has and StratoVirt's format has no place for is refused by name. */
#include "formats/stratovirt_write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* All of it stands in a vCPU's record, and StratoVirt sets all of it. */
#define VCPU_NEEDED                                                                                                    \
        (1u << VCPU_MP_STATE | 1u << VCPU_SREGS | 1u << VCPU_REGS | 1u << VCPU_XSAVE | 1u << VCPU_XCRS | 1u << VCPU_DEBUGREGS | \
         1u << VCPU_LAPIC | 1u << VCPU_MSRS | 1u << VCPU_EVENTS)
#define PLATFORM_NEEDED (1u << PLATFORM_IOAPIC | 1u << PLATFORM_PIT | 1u << PLATFORM_CLOCK)

/* KVM_SET_MSRS takes fewer than 256 at once (MAX_IO_MSRS in arch/x86/kvm/x86.c), and StratoVirt sets all at once. */
#define MSRS_AT_ONCE 255

__attribute__((format(printf, 2, 3))) static int refuse(struct err *e, const char *fmt, ...)
{
        char    text[512];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        return err_set(e, -ENOTSUP, "StratoVirt's format cannot hold this VM: %s; save it in the native format", text);
}

/* --- vCPUs --- */

/* Intel SDM vol. 1, 13.4.2: which components are in the area. 18 is AMX's tiles, 8 KiB of them. */
#define XSTATE_BV_OFFSET 512
#define XSTATE_TILES     (1ULL << 18)

static int check_xsave(const struct vcpu_state *v, uint32_t i, struct err *e)
{
        uint64_t present;

        if (v->xsave_bytes < SV_XSAVE_BYTES)
                return refuse(e, "vCPU %u: expected an XSAVE area of at least %d bytes, found %u", i, SV_XSAVE_BYTES,
                              v->xsave_bytes);
        memcpy(&present, v->xsave + XSTATE_BV_OFFSET, sizeof(present));
        if (present & XSTATE_TILES)
                return refuse(e, "vCPU %u: expected at most %d bytes of extended state, found AMX tiles in use", i,
                              SV_XSAVE_BYTES);
        for (uint32_t at = SV_XSAVE_BYTES; at < v->xsave_bytes; at++)
                if (v->xsave[at])
                        return refuse(e, "vCPU %u: expected at most %d bytes of extended state, found byte %u in use", i,
                                      SV_XSAVE_BYTES, at);
        return 0;
}

#define EFER_SVME (1ULL << 12) /* AMD64 APM vol. 2, 3.1.7 */

static bool svm_in_use(const struct vcpu_state *v, const struct kvm_nested_state *n)
{
        /* an interrupt flag (GIF) that is off, or a guest of the guest: with SVM off there is neither */
        uint16_t guest = KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_RUN_PENDING;

        return v->sregs.efer & EFER_SVME && (!(n->flags & KVM_STATE_NESTED_GIF_SET) || n->flags & guest);
}

static bool nested_in_use(const struct vcpu_state *v)
{
        struct kvm_nested_state n;

        if (!(v->have >> VCPU_NESTED & 1) || v->nested_bytes < sizeof(n))
                return false;
        memcpy(&n, v->nested, sizeof(n));
        if (n.format == KVM_STATE_NESTED_FORMAT_VMX)
                return n.hdr.vmx.vmxon_pa != UINT64_MAX; /* no VMXON was done (KVM api.rst, 4.114) */
        return n.format != KVM_STATE_NESTED_FORMAT_SVM || svm_in_use(v, &n);
}

static int check_vcpu(const struct vcpu_state *v, uint32_t i, struct err *e)
{
        uint32_t nr_msrs = sv_write_msrs(v, NULL, 0);

        if (v->apic_id != i)
                return refuse(e, "vCPU %u: expected APIC number %u, found %u", i, i, v->apic_id);
        for (unsigned int p = 0; p < VCPU_PIECES; p++)
                if ((VCPU_NEEDED & ~v->have) >> p & 1)
                        return refuse(e, "vCPU %u: expected its %s, found none", i, vcpu_piece_name(p));
        if (nr_msrs > MSRS_AT_ONCE)
                return refuse(e, "vCPU %u: expected at most %d MSRs, found %u", i, MSRS_AT_ONCE, nr_msrs);
        if (nested_in_use(v))
                return refuse(e, "vCPU %u: expected no nested virtualization in use, found a hypervisor in the guest", i);
        return check_xsave(v, i, e);
}

/* --- PICs: there is no record of them, and StratoVirt's are fresh after a restore --- */

#define APIC_BASE_ENABLE (1ULL << 11)
#define APIC_LVT0        0x350
#define LVT_MASKED       (1u << 16)
#define LVT_MODE         (7u << 8)
#define LVT_EXTINT       (7u << 8)

/* A PIC's interrupt comes in by LINT0 as ExtINT, or past an APIC that is off (Intel SDM vol. 3, "Local Vector Table"). */
static bool takes_pic(const struct vcpu_state *v)
{
        uint32_t lvt0;

        if (!(v->sregs.apic_base & APIC_BASE_ENABLE))
                return true;
        memcpy(&lvt0, v->lapic.regs + APIC_LVT0, sizeof(lvt0));
        return !(lvt0 & LVT_MASKED) && (lvt0 & LVT_MODE) == LVT_EXTINT;
}

/* Somebody programmed it (one that nobody did has vector base 0) and left a line open. */
static bool is_open(const struct platform_state *p, enum platform_piece piece, const struct kvm_pic_state *pic)
{
        return p->have >> piece & 1 && pic->irq_base && pic->imr != 0xff;
}

static int check_pics(const struct vm_state *vm, struct err *e)
{
        const struct platform_state *p = &vm->platform;

        if (!is_open(p, PLATFORM_PIC_MASTER, &p->pic_master) && !is_open(p, PLATFORM_PIC_SLAVE, &p->pic_slave))
                return 0;
        for (uint32_t i = 0; i < vm->nr_vcpus; i++)
                if (takes_pic(&vm->vcpus[i]))
                        return refuse(e, "expected a guest that takes its interrupts from the IOAPIC, found one that takes them "
                                      "from the PICs (vCPU %u, mask %#x %#x), which have no record", i, p->pic_master.imr,
                                      p->pic_slave.imr);
        return 0;
}

/* --- devices --- */

static int check_fixed(const struct virtio_state *v, struct err *e)
{
        enum virtio_kind expected = v->slot < SV_BLOCK_SLOTS ? VIRTIO_BLK : VIRTIO_NET;

        return v->kind == expected ? 0 : refuse(e, "virtio slot %u: expected a %s device, found a %s device", v->slot,
                                                virtio_kind_name(expected), virtio_kind_name(v->kind));
}

/* A device whose registers StratoVirt does not keep must have none that matter. */
static int check_optional(const struct vm_state *vm, const struct virtio_state *v, struct err *e)
{
        const struct sv_write_optional *o = sv_write_optional(v->kind);

        if (!o)
                return refuse(e, "expected block devices in slots 0 to %d, network cards in the next %d and no more, found a %s "
                              "device in slot %u", SV_BLOCK_SLOTS - 1, SV_SLOTS - SV_BLOCK_SLOTS, virtio_kind_name(v->kind),
                              v->slot);
        if (!o->has_transport && (v->activated || v->status))
                return refuse(e, "the %s device in slot %u: expected one that the guest does not use, found it in use; "
                              "StratoVirt keeps no queues of such a device and it would be dead after the restore",
                              virtio_kind_name(v->kind), v->slot);
        /* it gives slots in the order of its command line, so there can be no gap */
        if (v->slot != VIRTIO_SLOT_UNKNOWN && v->slot > SV_SLOTS && !vm_state_virtio(vm, v->slot - 1))
                return refuse(e, "the %s device in slot %u: expected one in slot %u too, found a gap", virtio_kind_name(v->kind),
                              v->slot, v->slot - 1);
        return 0;
}

/* Records are found by the hash of type and name. */
static int check_names(const struct vm_state *vm, uint32_t i, struct err *e)
{
        const struct device_record *d = &vm->devices[i];

        for (uint32_t k = 0; k < i; k++) {
                const struct device_record *other = &vm->devices[k];

                if (d->kind == DEVICE_VIRTIO && other->kind == DEVICE_VIRTIO && d->u.virtio.kind == other->u.virtio.kind &&
                    !strcmp(d->id, other->id) && sv_write_optional(d->u.virtio.kind))
                        return refuse(e, "expected %s devices of different names, found two of \"%s\"",
                                      virtio_kind_name(d->u.virtio.kind), d->id);
        }
        return 0;
}

static int check_device(const struct vm_state *vm, uint32_t i, struct err *e)
{
        const struct device_record *d = &vm->devices[i];
        int                         r;

        if (d->kind == DEVICE_SERIAL)
                return d == vm_state_device(vm, DEVICE_SERIAL) ? 0 : refuse(e, "expected one serial port, found a second");
        r = d->u.virtio.slot < SV_SLOTS ? check_fixed(&d->u.virtio, e) : check_optional(vm, &d->u.virtio, e);
        return r < 0 ? r : check_names(vm, i, e);
}

int sv_write_check(const struct vm_state *vm, struct err *e)
{
        char vendor[CPU_VENDOR_MAX];
        int  r = 0;

        if (vm->machine != MACHINE_MICROVM || !vm->nr_vcpus || vm->nr_vcpus > VCPUS_MAX)
                return refuse(e, "expected a microVM of 1 to %d vCPUs, found machine %d with %u", VCPUS_MAX, (int)vm->machine,
                              vm->nr_vcpus);
        if (!sv_write_vendor(vm, vendor))
                return refuse(e, "expected the CPU's vendor in the state or in the CPUID, found it in neither");
        for (uint32_t i = 0; r == 0 && i < vm->nr_vcpus; i++)
                r = check_vcpu(&vm->vcpus[i], i, e);
        for (unsigned int p = 0; r == 0 && p < PLATFORM_PIECES; p++)
                if ((PLATFORM_NEEDED & ~vm->platform.have) >> p & 1)
                        r = refuse(e, "expected a %s, found none", platform_piece_name(p));
        r = r < 0 ? r : check_pics(vm, e);
        for (uint32_t i = 0; r == 0 && i < vm->nr_devices; i++)
                r = check_device(vm, i, e);
        return r;
}
