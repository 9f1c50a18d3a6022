/* kvm/vcpu.h: one vCPU: its KVM descriptor, its run page and the thread that runs it.
 * Owns:    the descriptor, the run page's mapping, the thread.
 * Threads: created, started, kicked and freed by the session thread; its own thread runs it and nothing else.
 * Blocks:  vcpu_join until the thread has ended. */
#pragma once

#include "core/base/err.h"
#include "kvm/cpuid.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>

struct vm;

struct vcpu {
        /* set while it is made, then read-only */
        struct vm      *vm;
        uint32_t        index; /* is KVM's vCPU id and, at boot, the APIC id */
        int             fd;
        struct kvm_run *run;
        size_t          run_bytes;
        pthread_t       thread;
        /* relaxed: a number for people and pinning tools, set once by the thread itself */
        _Atomic int tid;
        /* session thread only, and before the vCPU runs: what KVM was told, and therefore what is saved */
        struct cpuid_table cpuid;
        /* under vm->lock */
        bool running; /* counted in vm->nr_running */
        bool ended;   /* will not go on; its state in KVM may be half an instruction */
};

/* Fills *v; on failure nothing is left open. */
int  vcpu_create(struct vcpu *v, struct vm *vm, uint32_t index, struct err *e);
void vcpu_destroy(struct vcpu *v); /* not while its thread lives */

int  vcpu_start(struct vcpu *v); /* the thread, parked; 0 or -errno */
void vcpu_kick(struct vcpu *v);  /* out of KVM_RUN, and not in again before it has parked or ended. Under vm->lock */
void vcpu_unkick(struct vcpu *v); /* it need not leave any more, if it has not yet. Under vm->lock */
void vcpu_join(struct vcpu *v);
