/* One table: each piece of a vCPU's state, how it is got and set, and why it stands where it stands. */
#include "kvm/vcpu_state.h"

#include "core/base/cleanup.h"
#include "kvm/msrs.h"
#include "kvm/sys.h"
#include "kvm/vm_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(struct kvm_sregs) == 312, "as the kernel has it");
static_assert(sizeof(struct kvm_regs) == 144, "as the kernel has it");
static_assert(sizeof(struct kvm_fpu) == 416, "as the kernel has it");
static_assert(sizeof(struct kvm_xsave) == 4096, "as the kernel has it");
static_assert(sizeof(struct kvm_xcrs) == 392, "as the kernel has it");
static_assert(sizeof(struct kvm_debugregs) == 128, "as the kernel has it");
static_assert(sizeof(struct kvm_lapic_state) == 1024, "as the kernel has it");
static_assert(sizeof(struct kvm_vcpu_events) == 64, "as the kernel has it");
static_assert(sizeof(struct kvm_nested_state) == 128, "as the kernel has it: the header alone");
static_assert(XSAVE_MAX >= sizeof(struct kvm_xsave), "every XSAVE area has at least this");

static bool has(const struct vcpu_state *s, enum vcpu_piece p)
{
        return s->have >> p & 1;
}

static int refuse(struct vcpu *v, enum vcpu_piece p, struct err *e, const char *why)
{
        return err_bad(e, "state", ERR_NO_OFFSET, "vCPU %u: %s: %s", v->index, vcpu_piece_name(p), why);
}

/* --- CPUID --- */

int vcpu_set_cpuid(struct vcpu *v, const struct cpuid_table *t)
{
        int r;

        v->cpuid = *t;
        r = kvm_ioctl(v->fd, KVM_SET_CPUID2, &v->cpuid);
        if (r < 0)
                v->cpuid.nr = 0;
        return r;
}

static int check_cpuid(struct vcpu *v, const struct vcpu_state *s, struct err *e)
{
        const struct cpu_topology *t = &s->topology;

        if (s->cpuid_origin == CPUID_STRATOVIRT && !(t->max_vcpus && t->threads && t->cores && t->dies))
                return refuse(v, VCPU_CPUID, e, "expected a topology of at least 1 vCPU, thread, core and die, found a 0");
        if (s->cpuid_origin == CPUID_SAVED && (s->nr_cpuid > CPUID_MAX || (s->nr_cpuid && !s->cpuid)))
                return refuse(v, VCPU_CPUID, e, "expected at most 256 entries, found more");
        return 0;
}

static int save_cpuid(struct vcpu *v, struct vcpu_state *ret)
{
        ret->cpuid_origin = CPUID_SAVED;
        if (!v->cpuid.nr)
                return 0;
        ret->cpuid = calloc(v->cpuid.nr, sizeof(*ret->cpuid));
        if (!ret->cpuid)
                return -ENOMEM;
        memcpy(ret->cpuid, v->cpuid.v, v->cpuid.nr * sizeof(*ret->cpuid));
        ret->nr_cpuid = v->cpuid.nr;
        return 1;
}

static int load_cpuid(struct vcpu *v, const struct vcpu_state *s, struct vm_load_report *ret)
{
        struct cpuid_table        t = { 0 };
        const struct cpuid_table *host;

        (void)ret;
        if (s->cpuid_origin == CPUID_STRATOVIRT) {
                int r = vm_host_cpuid(v->vm, &host, NULL);

                if (r >= 0)
                        r = cpuid_stratovirt(host, s->apic_id, &s->topology, &t);
                return r < 0 ? r : vcpu_set_cpuid(v, &t);
        }
        t.nr = s->nr_cpuid;
        memcpy(t.v, s->cpuid, s->nr_cpuid * sizeof(*s->cpuid));
        return vcpu_set_cpuid(v, &t);
}

/* --- TSC frequency --- */

static int save_tsc_khz(struct vcpu *v, struct vcpu_state *ret)
{
        int khz;

        if (!v->vm->caps.kvm_get_tsc_khz)
                return 0;
        khz = kvm_ioctl(v->fd, KVM_GET_TSC_KHZ, NULL);
        if (khz <= 0) /* an unstable host TSC: KVM has no frequency to tell */
                return 0;
        ret->tsc_khz = (uint32_t)khz;
        return 1;
}

static int load_tsc_khz(struct vcpu *v, const struct vcpu_state *s, struct vm_load_report *ret)
{
        int      khz = kvm_ioctl(v->fd, KVM_GET_TSC_KHZ, NULL);
        uint64_t apart_khz = khz > (int)s->tsc_khz ? (uint64_t)khz - s->tsc_khz : s->tsc_khz - (uint64_t)MAX(khz, 0);

        if (khz <= 0 || khz == (int)s->tsc_khz)
                return 0;
        if (v->vm->caps.kvm_tsc_control)
                return kvm_ioctl_value(v->fd, KVM_SET_TSC_KHZ, s->tsc_khz);
        /* Without scaling the guest gets the host's frequency. kvmclock takes care of that by itself, a guest's own TSC clock
         * does not. */
        if (apart_khz * 4000 > s->tsc_khz) {
                ret->tsc_khz_saved = s->tsc_khz;
                ret->tsc_khz_here = (uint32_t)khz;
        }
        return 0;
}

/* --- pieces that are one struct and one ioctl each way --- */

#define ONE_STRUCT(name, get, set)                                                                            \
        static int save_##name(struct vcpu *v, struct vcpu_state *ret)                                        \
        {                                                                                                     \
                int r = kvm_ioctl(v->fd, get, &ret->name);                                                    \
                                                                                                              \
                return r < 0 ? r : 1;                                                                         \
        }                                                                                                     \
        static int load_##name(struct vcpu *v, const struct vcpu_state *s, struct vm_load_report *ret)        \
        {                                                                                                     \
                (void)ret;                                                                                    \
                return kvm_ioctl_in(v->fd, set, &s->name);                                                    \
        }

ONE_STRUCT(mp_state, KVM_GET_MP_STATE, KVM_SET_MP_STATE)
ONE_STRUCT(sregs, KVM_GET_SREGS, KVM_SET_SREGS)
ONE_STRUCT(regs, KVM_GET_REGS, KVM_SET_REGS)
ONE_STRUCT(debugregs, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS)
ONE_STRUCT(lapic, KVM_GET_LAPIC, KVM_SET_LAPIC)
ONE_STRUCT(events, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS)

/* --- FPU and XSAVE --- */

static int save_fpu(struct vcpu *v, struct vcpu_state *ret)
{
        int r;

        if (v->vm->caps.kvm_xsave_bytes)
                return 0;
        r = kvm_ioctl(v->fd, KVM_GET_FPU, &ret->fpu);
        return r < 0 ? r : 1;
}

static int load_fpu(struct vcpu *v, const struct vcpu_state *s, struct vm_load_report *ret)
{
        (void)ret;
        /* beside an XSAVE area it is stale (stratovirt.md trap 7) */
        return has(s, VCPU_XSAVE) ? 0 : kvm_ioctl_in(v->fd, KVM_SET_FPU, &s->fpu);
}

static int check_xsave(struct vcpu *v, const struct vcpu_state *s, struct err *e)
{
        uint32_t host_bytes = v->vm->caps.kvm_xsave_bytes;

        if (s->xsave_bytes < sizeof(struct kvm_xsave) || s->xsave_bytes > XSAVE_MAX || !s->xsave)
                return err_bad(e, "state", ERR_NO_OFFSET, "vCPU %u: xsave: expected 4096 to %d bytes, found %u", v->index,
                               XSAVE_MAX, s->xsave_bytes);
        if (s->xsave_bytes > host_bytes)
                return err_bad(e, "state", ERR_NO_OFFSET,
                               "vCPU %u: xsave: expected at most the %u bytes that KVM has here, found %u; "
                               "restore on a host whose CPU has the same extended state", v->index, host_bytes, s->xsave_bytes);
        return 0;
}

static int save_xsave(struct vcpu *v, struct vcpu_state *ret)
{
        uint32_t bytes = v->vm->caps.kvm_xsave_bytes;
        int      r;

        if (!bytes)
                return 0;
        ret->xsave = calloc(1, bytes);
        if (!ret->xsave)
                return -ENOMEM;
        ret->xsave_bytes = bytes;
        r = kvm_ioctl(v->fd, bytes > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, ret->xsave);
        return r < 0 ? r : 1;
}

/* XSTATE_BV, the components that are in the area: Intel SDM vol. 1, 13.4.2. */
#define XSTATE_BV_OFFSET 512

/* Drops components that this KVM does not know and that the guest has not enabled in XCR0: it cannot have put anything there. (A
 * host with protection keys puts PKRU into every area, used or not: stratovirt.md 2.2.) True if that changed anything. */
static bool drop_foreign_components(struct vcpu *v, const struct vcpu_state *s, uint8_t *area)
{
        uint64_t               known = 0, enabled = 3, present; /* x87 and SSE always are */
        struct kvm_device_attr attr = { .attr = KVM_X86_XCOMP_GUEST_SUPP, .addr = (uint64_t)&known };

        if (kvm_ioctl(v->vm->kvm_fd, KVM_GET_DEVICE_ATTR, &attr) < 0) /* Linux 5.17 */
                return false;
        for (uint32_t i = 0; has(s, VCPU_XCRS) && i < s->xcrs.nr_xcrs; i++)
                if (s->xcrs.xcrs[i].xcr == 0)
                        enabled |= s->xcrs.xcrs[i].value;
        memcpy(&present, area + XSTATE_BV_OFFSET, sizeof(present));
        if (!(present & ~(known | enabled)))
                return false;
        present &= known | enabled;
        memcpy(area + XSTATE_BV_OFFSET, &present, sizeof(present));
        return true;
}

static int load_xsave(struct vcpu *v, const struct vcpu_state *s, struct vm_load_report *ret)
{
        /* KVM reads as many bytes as this host's area has (Linux 5.17), so a shorter one gets zeros behind it. */
        _cleanup_free_ uint8_t *area = calloc(1, v->vm->caps.kvm_xsave_bytes);
        int                     r;

        (void)ret;
        if (!area)
                return -ENOMEM;
        memcpy(area, s->xsave, s->xsave_bytes);
        r = kvm_ioctl_in(v->fd, KVM_SET_XSAVE, area);
        if (r == -EINVAL && drop_foreign_components(v, s, area))
                r = kvm_ioctl_in(v->fd, KVM_SET_XSAVE, area);
        return r;
}

static int save_xcrs(struct vcpu *v, struct vcpu_state *ret)
{
        int r;

        if (!v->vm->caps.kvm_xcrs)
                return 0;
        r = kvm_ioctl(v->fd, KVM_GET_XCRS, &ret->xcrs);
        return r < 0 ? r : 1;
}

static int load_xcrs(struct vcpu *v, const struct vcpu_state *s, struct vm_load_report *ret)
{
        (void)ret;
        return kvm_ioctl_in(v->fd, KVM_SET_XCRS, &s->xcrs);
}

static int check_xcrs(struct vcpu *v, const struct vcpu_state *s, struct err *e)
{
        if (!v->vm->caps.kvm_xcrs)
                return refuse(v, VCPU_XCRS, e, "expected a host whose KVM has XCRs, found one without");
        if (s->xcrs.nr_xcrs > KVM_MAX_XCRS)
                return refuse(v, VCPU_XCRS, e, "expected at most 16 registers, found more");
        return 0;
}

/* --- MSRs: msrs.c --- */

static int check_msrs(struct vcpu *v, const struct vcpu_state *s, struct err *e)
{
        if (s->nr_msrs > MSRS_MAX || (s->nr_msrs && !s->msrs))
                return err_bad(e, "state", ERR_NO_OFFSET, "vCPU %u: msrs: expected at most %d, found %u", v->index, MSRS_MAX,
                               s->nr_msrs);
        return 0;
}

static int save_msrs(struct vcpu *v, struct vcpu_state *ret)
{
        int r = msrs_get(v->vm->kvm_fd, v->fd, &ret->msrs, &ret->nr_msrs);

        return r < 0 ? r : 1;
}

static int load_msrs(struct vcpu *v, const struct vcpu_state *s, struct vm_load_report *ret)
{
        return msrs_set(v->fd, v->index, s->msrs, s->nr_msrs, ret);
}

/* --- nested virtualization --- */

static int check_nested(struct vcpu *v, const struct vcpu_state *s, struct err *e)
{
        struct kvm_nested_state head;

        if (!v->vm->caps.kvm_nested_state)
                return refuse(v, VCPU_NESTED, e,
                              "expected a host with nested virtualization, found one without; load kvm_intel or kvm_amd with "
                              "nested=1");
        if (s->nested_bytes < sizeof(head) || s->nested_bytes > NESTED_MAX || !s->nested)
                return refuse(v, VCPU_NESTED, e, "expected 128 to 65536 bytes, found another size");
        memcpy(&head, s->nested, sizeof(head));
        if (head.size < sizeof(head) || head.size > s->nested_bytes)
                return refuse(v, VCPU_NESTED, e, "expected its own size to fit its bytes, found that it does not");
        return 0;
}

static int save_nested(struct vcpu *v, struct vcpu_state *ret)
{
        struct kvm_nested_state *n;
        int                      r;

        if (!v->vm->caps.kvm_nested_state)
                return 0;
        n = calloc(1, NESTED_MAX);
        if (!n)
                return -ENOMEM;
        ret->nested = (uint8_t *)n;
        n->size = NESTED_MAX;
        r = kvm_ioctl(v->fd, KVM_GET_NESTED_STATE, n);
        if (r < 0)
                return r;
        ret->nested_bytes = n->size;
        return 1;
}

static int load_nested(struct vcpu *v, const struct vcpu_state *s, struct vm_load_report *ret)
{
        (void)ret;
        return kvm_ioctl_in(v->fd, KVM_SET_NESTED_STATE, s->nested);
}

/* --- the table --- */

#define ROW(p, check, name, why) { .piece = (p), check, save_##name, load_##name, (why) }

const struct vcpu_row vcpu_rows[VCPU_PIECES] = {
        ROW(VCPU_CPUID, check_cpuid, cpuid, "first: KVM judges CR4, EFER, XCR0 and every MSR by it"),
        ROW(VCPU_TSC_KHZ, NULL, tsc_khz, "before the MSRs: the TSC's value is scaled by it"),
        ROW(VCPU_MP_STATE, NULL, mp_state, "before EVENTS, whose SIPI vector belongs to the state set here"),
        ROW(VCPU_SREGS, NULL, sregs,
            "CR0, CR4, EFER and APIC_BASE: paging for REGS, the LAPIC's mode for LAPIC, OSXSAVE for XCRS"),
        ROW(VCPU_REGS, NULL, regs, "after SREGS: RFLAGS is taken in the mode that those set"),
        ROW(VCPU_FPU, NULL, fpu, "before XSAVE, and only without one: set after it, it would undo it"),
        ROW(VCPU_XSAVE, check_xsave, xsave, "after CPUID, which says what may be in it"),
        ROW(VCPU_XCRS, check_xcrs, xcrs, "after CPUID, which says what may be enabled"),
        ROW(VCPU_DEBUGREGS, NULL, debugregs,
            "after CPUID, which says what DR6 and DR7 may hold; no other order is known to matter"),
        ROW(VCPU_LAPIC, NULL, lapic,
            "after SREGS (APIC_BASE); before MSRS: TSC_DEADLINE counts only when the timer is in that mode"),
        ROW(VCPU_MSRS, check_msrs, msrs, "after LAPIC and CPUID; kvmclock's make KVM write guest RAM, so the pager must serve"),
        ROW(VCPU_NESTED, check_nested, nested, "after SREGS and MSRS, which say whether VMX or SVM is on (KVM api.rst, 4.115)"),
        ROW(VCPU_EVENTS, NULL, events, "last: setting registers drops pending exceptions, and this puts them back"),
};

/* The CPUID of a StratoVirt snapshot is in no file, and yet it is loaded. */
static bool is_loaded(const struct vcpu_state *s, enum vcpu_piece p)
{
        return has(s, p) || (p == VCPU_CPUID && s->cpuid_origin == CPUID_STRATOVIRT);
}

int vcpu_check(struct vcpu *v, const struct vcpu_state *s, struct err *e)
{
        for (size_t i = 0; i < VCPU_PIECES; i++) {
                const struct vcpu_row *row = &vcpu_rows[i];
                int                    r = row->check && is_loaded(s, row->piece) ? row->check(v, s, e) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

int vcpu_load(struct vcpu *v, const struct vcpu_state *s, struct vm_load_report *ret, struct err *e)
{
        for (size_t i = 0; i < VCPU_PIECES; i++) {
                const struct vcpu_row *row = &vcpu_rows[i];
                int                    r = is_loaded(s, row->piece) ? row->load(v, s, ret) : 0;

                if (r < 0)
                        return err_bad(e, "state", ERR_NO_OFFSET,
                                       "vCPU %u: %s: expected a value that KVM takes here, found one that it "
                                       "refuses (%s)", v->index, vcpu_piece_name(row->piece), strerror(-r));
        }
        return 0;
}

static int save_row(const struct vcpu_row *row, struct vcpu *v, struct vcpu_state *ret, struct err *e)
{
        int r = row->save(v, ret);

        if (r < 0)
                return err_set(e, r, "vCPU %u: KVM does not give its %s: %s", v->index, vcpu_piece_name(row->piece),
                               strerror(-r));
        ret->have |= (uint32_t)r << row->piece;
        return 0;
}

static const struct vcpu_row *find_row(enum vcpu_piece p)
{
        size_t i = 0;

        while (vcpu_rows[i].piece != p)
                i++;
        return &vcpu_rows[i];
}

int vcpu_save(struct vcpu *v, struct vcpu_state *ret, struct err *e)
{
        int r;

        ret->apic_id = v->index;
        r = save_row(find_row(VCPU_MP_STATE), v, ret, e);
        for (size_t i = VCPU_PIECES; i-- > 0 && r >= 0;)
                if (vcpu_rows[i].piece != VCPU_MP_STATE)
                        r = save_row(&vcpu_rows[i], v, ret, e);
        return r;
}
