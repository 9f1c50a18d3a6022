/* kvm/vcpu_state.h: what there is to save of a vCPU, and the order in which it is set again.
 * Owns:    nothing; what a save allocates belongs to the vcpu_state.
 * Threads: session thread, while no vCPU runs.
 * Blocks:  on guest pages: KVM itself reads and writes guest RAM when some pieces are set (kvmclock, PAE page tables). */
#pragma once

#include "core/base/err.h"
#include "core/model/vm_state.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

struct vcpu_row {
        enum vcpu_piece piece;
        /* Sizes, counts and what the host must have, before anything is set. May be NULL. Names what it refuses. */
        int (*check)(struct vcpu *v, const struct vcpu_state *s, struct err *e);
        /* Returns 1 when the piece is in *ret, 0 when this host has no such thing, or -errno. */
        int (*save)(struct vcpu *v, struct vcpu_state *ret);
        /* 0 or -errno. */
        int (*load)(struct vcpu *v, const struct vcpu_state *s, struct vm_load_report *ret);
        const char *why_here;
};

/* Loaded from the first row to the last. Saved from the last to the first, but MP_STATE before all: KVM_GET_MP_STATE takes a
 * pending INIT or SIPI into the vCPU, and that changes the others. */
extern const struct vcpu_row vcpu_rows[VCPU_PIECES];

/* Every piece that is in *s, in the order of the table. check changes nothing; load: a value that KVM refuses is ERR_SNAPSHOT. */
int vcpu_check(struct vcpu *v, const struct vcpu_state *s, struct err *e);
int vcpu_load(struct vcpu *v, const struct vcpu_state *s, struct vm_load_report *ret, struct err *e);
int vcpu_save(struct vcpu *v, struct vcpu_state *ret, struct err *e); /* ret zeroed; the caller frees it, also on failure */

/* Sets v->cpuid; used by boot as well. 0 or -errno. */
int vcpu_set_cpuid(struct vcpu *v, const struct cpuid_table *t);
