/* formats/stratovirt_vcpu.c: the record X86CPUState/N, kernel structs found through the file's descriptor, to a vCPU's state. */
#include "core/base/units.h"
#include "formats/stratovirt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum field {
        MAX_VCPUS, NR_THREADS, NR_CORES, NR_DIES, NR_SOCKETS, APIC_ID, REGS, SREGS, MP_STATE, LAPIC, MSR_LEN, MSR_LIST,
        CPU_EVENTS, XSAVE, XCRS, DEBUGREGS, FIELDS,
};

/* `fpu` is left out: on hosts with XSAVE it holds the values of reset, never the guest's (stratovirt.md 2.2). The topology's
 * numbers are as large as the generation says. */
static const struct sv_field fields[] = {
        [MAX_VCPUS]  = { "max_vcpus", 0 },
        [NR_THREADS] = { "nr_threads", 0 },
        [NR_CORES]   = { "nr_cores", 0 },
        [NR_DIES]    = { "nr_dies", 0 },
        [NR_SOCKETS] = { "nr_sockets", 0 },
        [APIC_ID]    = { "apic_id", 4 },
        [REGS]       = { "regs", sizeof(struct kvm_regs) },
        [SREGS]      = { "sregs", sizeof(struct kvm_sregs) },
        [MP_STATE]   = { "mp_state", sizeof(struct kvm_mp_state) },
        [LAPIC]      = { "lapic", sizeof(struct kvm_lapic_state) },
        [MSR_LEN]    = { "msr_len", 8 },
        [MSR_LIST]   = { "msr_list", SV_MSRS_MAX * sizeof(struct kvm_msr_entry) },
        [CPU_EVENTS] = { "cpu_events", sizeof(struct kvm_vcpu_events) },
        [XSAVE]      = { "xsave", SV_XSAVE_BYTES },
        [XCRS]       = { "xcrs", sizeof(struct kvm_xcrs) },
        [DEBUGREGS]  = { "debugregs", sizeof(struct kvm_debugregs) },
};
static_assert(ARRAY_LEN(fields) == FIELDS && FIELDS <= SV_FIELDS_MAX, "every field has its size");

/* Fields that are copied as they are. */
#define COPY(f, member, piece) { f, offsetof(struct vcpu_state, member), piece }
static const struct {
        enum field      field;
        size_t          to;
        enum vcpu_piece piece;
} copies[] = {
        COPY(REGS, regs, VCPU_REGS),
        COPY(SREGS, sregs, VCPU_SREGS),
        COPY(MP_STATE, mp_state, VCPU_MP_STATE),
        COPY(LAPIC, lapic, VCPU_LAPIC),
        COPY(CPU_EVENTS, events, VCPU_EVENTS),
        COPY(XCRS, xcrs, VCPU_XCRS),
        COPY(DEBUGREGS, debugregs, VCPU_DEBUGREGS),
};

static int locate(const struct sv_descs *descs, const struct sv_records *rec, uint32_t ret[SV_FIELDS_MAX], struct err *e)
{
        struct sv_field all[FIELDS];

        memcpy(all, fields, sizeof(all));
        for (int i = MAX_VCPUS; i <= NR_SOCKETS; i++)
                all[i].size_bytes = rec->generation->topology_bytes;
        /* all vCPUs' records are of one type, described by one descriptor (stratovirt.md 1.2) */
        return sv_fields_locate(descs, rec->vcpu[0].desc, all, FIELDS, ret, e);
}

static int read_topology(const struct sv_record *rec, const struct sv_records *all, const uint32_t *at, struct cpu_topology *ret,
                         struct err *e)
{
        uint32_t n[NR_SOCKETS + 1] = { 0 };
        bool     good = true;

        static_assert(MAX_VCPUS == 0 && NR_SOCKETS == 4, "the topology's fields come first");
        for (int i = MAX_VCPUS; i <= NR_SOCKETS; i++) {
                memcpy(&n[i], rec->body + at[i], all->generation->topology_bytes);
                good = good && n[i] >= 1 && n[i] <= UINT8_MAX;
        }
        if (!good || n[MAX_VCPUS] < all->nr_vcpus)
                return err_bad(e, "state", rec->offset_bytes + at[MAX_VCPUS], "expected a topology of %u vCPUs or more"
                               ", found max_vcpus %u, %u sockets of %u dies of %u cores of %u threads" SV_DAMAGED,
                               all->nr_vcpus, n[MAX_VCPUS], n[NR_SOCKETS], n[NR_DIES], n[NR_CORES], n[NR_THREADS]);
        *ret = (struct cpu_topology){
                .max_vcpus  = (uint8_t)n[MAX_VCPUS],
                .threads    = (uint8_t)n[NR_THREADS],
                .cores      = (uint8_t)n[NR_CORES],
                .dies       = (uint8_t)n[NR_DIES],
                .sockets    = (uint8_t)n[NR_SOCKETS],
                .u8_offsets = all->generation->u8_offsets,
        };
        return 0;
}

/* CPUID and the LAPIC's number are made of apic_id; StratoVirt gives vCPU N the number N. */
static int read_apic_id(const struct sv_record *rec, const uint32_t *at, uint32_t index, uint32_t *ret, struct err *e)
{
        memcpy(ret, rec->body + at[APIC_ID], sizeof(*ret));
        if (*ret != index)
                return err_bad(e, "state", rec->offset_bytes + at[APIC_ID], "vCPU %u: expected apic_id %u, found %u" SV_DAMAGED,
                               index, index, *ret);
        return 0;
}

static int read_msrs(const struct sv_record *rec, const uint32_t *at, struct vcpu_state *v, struct err *e)
{
        uint64_t nr;

        memcpy(&nr, rec->body + at[MSR_LEN], sizeof(nr));
        if (nr < 1 || nr > SV_MSRS_MAX)
                return err_bad(e, "state", rec->offset_bytes + at[MSR_LEN],
                               "expected 1 to %d MSRs, found %" PRIu64 SV_DAMAGED, SV_MSRS_MAX, nr);
        v->have |= 1u << VCPU_MSRS;
        v->msrs = calloc(nr, sizeof(*v->msrs));
        if (!v->msrs)
                return err_set(e, -ENOMEM, "no memory for the MSRs of a vCPU");
        memcpy(v->msrs, rec->body + at[MSR_LIST], nr * sizeof(*v->msrs));
        v->nr_msrs = (uint32_t)nr;
        return 0;
}

static int read_xsave(const struct sv_record *rec, const uint32_t *at, struct vcpu_state *v, struct err *e)
{
        v->xsave = malloc(SV_XSAVE_BYTES);
        if (!v->xsave)
                return err_set(e, -ENOMEM, "no memory for the XSAVE area of a vCPU");
        memcpy(v->xsave, rec->body + at[XSAVE], SV_XSAVE_BYTES);
        v->xsave_bytes = SV_XSAVE_BYTES;
        v->have |= 1u << VCPU_XSAVE;
        return 0;
}

static int read_vcpu(const struct sv_records *all, const uint32_t *at, uint32_t index, struct vcpu_state *v, struct err *e)
{
        const struct sv_record *rec = &all->vcpu[index];
        int                     r = read_apic_id(rec, at, index, &v->apic_id, e);

        r = r < 0 ? r : read_topology(rec, all, at, &v->topology, e);
        if (r < 0)
                return r;
        v->cpuid_origin = CPUID_STRATOVIRT;
        for (size_t i = 0; i < ARRAY_LEN(copies); i++) {
                memcpy((uint8_t *)v + copies[i].to, rec->body + at[copies[i].field], fields[copies[i].field].size_bytes);
                v->have |= 1u << copies[i].piece;
        }
        r = read_msrs(rec, at, v, e);
        return r < 0 ? r : read_xsave(rec, at, v, e);
}

int sv_vcpus_read(const struct sv_descs *descs, const struct sv_records *rec, struct vm_state *vm, struct err *e)
{
        uint32_t at[SV_FIELDS_MAX];
        int      r = locate(descs, rec, at, e);

        for (uint32_t i = 0; r == 0 && i < vm->nr_vcpus; i++)
                r = read_vcpu(rec, at, i, &vm->vcpus[i], e);
        return r;
}
