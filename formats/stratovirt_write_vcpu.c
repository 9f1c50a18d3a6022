/* formats/stratovirt_write_vcpu.c: vCPUs, the platform and the serial port: StratoVirt's records are the kernel's structs. */
#include "formats/stratovirt_write.h"

#include <stdio.h>
#include <string.h>

/* What the FPU holds after reset (Intel SDM vol. 3, table 9-1). StratoVirt leaves it at that where there is an XSAVE area. */
#define FCW_RESET   0x37f
#define MXCSR_RESET 0x1f80

/* --- MSRs --- */

/* VMX capabilities: StratoVirt takes these 18 out of KVM's list, as they are the host's and not the guest's. */
static bool is_vmx_capability(uint32_t index)
{
        return index >= 0x480 && index <= 0x491;
}

/* Memory types, which KVM answers for and leaves out of its list (kvm/msrs.c); PAT, 0x277, is in it. */
static bool is_mtrr(uint32_t index)
{
        return (index >= 0x200 && index <= 0x26f) || index == 0x2ff;
}

/* StratoVirt does not know of those that KVM does not list. They stand behind the others, so one that was set may stay: nothing
 * that comes after it is lost if a host refuses it. KVM_SET_MSRS, which StratoVirt calls once, stops there. */
static bool is_saved(const struct kvm_msr_entry *m)
{
        return !is_vmx_capability(m->index) && (!is_mtrr(m->index) || m->data);
}

uint32_t sv_write_msrs(const struct vcpu_state *v, struct kvm_msr_entry *ret, uint32_t max)
{
        uint32_t nr = 0;

        for (uint32_t i = 0; i < v->nr_msrs; i++) {
                if (!is_saved(&v->msrs[i]))
                        continue;
                if (nr < max)
                        ret[nr] = v->msrs[i];
                nr++;
        }
        return nr;
}

/* --- a vCPU --- */

/* What StratoVirt makes of -smp N where the snapshot does not know: N cores of one thread in one socket. */
static struct cpu_topology topology_of(const struct vm_state *vm, const struct vcpu_state *v)
{
        uint8_t n = (uint8_t)vm->nr_vcpus;

        if (v->topology.max_vcpus)
                return v->topology;
        return (struct cpu_topology){ .max_vcpus = n, .threads = 1, .cores = n, .dies = 1, .sockets = 1 };
}

static void fill_topology(struct sv_vcpu_body *b, const struct cpu_topology *t)
{
        b->max_vcpus = t->max_vcpus;
        b->nr_threads = t->threads;
        b->nr_cores = t->cores;
        b->nr_dies = t->dies;
        b->nr_sockets = t->sockets;
}

void sv_write_vcpu(struct byte_out *out, const struct vm_state *vm, uint32_t index)
{
        const struct vcpu_state *v = &vm->vcpus[index];
        struct cpu_topology      t = topology_of(vm, v);
        struct sv_vcpu_body      b;
        char                     instance[12];

        memset(&b, 0, sizeof(b)); /* its padding goes into the file */
        fill_topology(&b, &t);
        b.apic_id = v->apic_id;
        b.regs = v->regs;
        b.sregs = v->sregs;
        b.fpu.fcw = FCW_RESET;
        b.fpu.mxcsr = MXCSR_RESET;
        b.mp_state = v->mp_state;
        b.lapic = v->lapic;
        b.msr_len = sv_write_msrs(v, b.msr_list, SV_MSRS_MAX);
        b.cpu_events = v->events;
        memcpy(b.xsave, v->xsave, sizeof(b.xsave));
        b.xcrs = v->xcrs;
        b.debugregs = v->debugregs;
        snprintf(instance, sizeof(instance), "%u", index);
        sv_write_record(out, "X86CPUState", instance, &b, sizeof(b));
}

/* --- platform --- */

void sv_write_kvm(struct byte_out *out, const struct platform_state *p)
{
        struct sv_kvm_body b;

        memset(&b, 0, sizeof(b));
        b.pit_state = p->pit;
        b.kvm_clock.clock = p->clock.clock; /* no flags: the guest's clock goes on where it stood, as in StratoVirt's own */
        b.ioapic.chip_id = IOAPIC_CHIP_ID;
        b.ioapic.chip.ioapic = p->ioapic;
        sv_write_record(out, "KvmDeviceState", "", &b, sizeof(b));
}

/* --- serial port --- */

#define IIR_NONE     0x01
#define IIR_THRI     0x02
#define IIR_RDI      0x04
#define IIR_TIMEOUT  0x0c
#define IIR_ID       0x0f

/* StratoVirt's port has no FIFOs to be told of and no interrupts but these (stratovirt.md 2.4). */
static uint8_t interrupt_id(const struct serial_state *s)
{
        switch (s->iir & IIR_ID) {
        case IIR_RDI:
        case IIR_TIMEOUT:
                return IIR_RDI;
        case IIR_THRI:
                return IIR_THRI;
        default:
                return IIR_NONE;
        }
}

void sv_write_serial(struct byte_out *out, const struct serial_state *s)
{
        struct sv_serial_body b;

        memset(&b, 0, sizeof(b));
        memcpy(b.rbr_value, s->rx, s->rx_len);
        b.rbr_len = s->rx_len;
        b.ier = s->ier;
        b.iir = interrupt_id(s);
        b.lcr = s->lcr;
        b.mcr = s->mcr;
        b.lsr = s->lsr;
        b.msr = s->msr;
        b.scr = s->scr;
        b.div = s->divisor;
        b.thr_pending = s->thr_pending;
        sv_write_record(out, "SerialState", "serial", &b, sizeof(b));
}
