/* kvm/vm_internal.h: the VM's body, shared by the files of kvm/ that build, run, save and load it.
 * Owns:    see kvm/vm.h.
 * Threads: per group, below.
 * Blocks:  - */
#pragma once

#include "kvm/bus.h"
#include "kvm/cpuid.h"
#include "kvm/device/serial.h"
#include "kvm/machine/machine.h"
#include "kvm/slots.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#include <pthread.h>
#include <stdatomic.h>

/* What the session thread asks of the vCPU threads. */
enum vm_want {
        VM_WANT_PAUSE, /* park; what KVM has begun is completed first */
        VM_WANT_RUN,
        VM_WANT_STOP, /* end; never left again */
};

struct vm {
        /* set while it is made, then read-only */
        struct host_caps      caps;
        struct mem_layout     layout;
        const struct machine *machine;
        struct vm_events      events;
        const char           *cpuid_cache; /* a path, or NULL */
        bool                  faults_in_place;
        bool                  track_dirty;
        int                   kvm_fd, vm_fd;
        struct bus            bus;
        struct serial        *serial;
        struct slots          slots;
        uint32_t              nr_vcpus;
        struct vcpu           vcpus[VCPUS_MAX]; /* groups of their own: vcpu.h */
        /* session thread only */
        struct cpuid_table *host_cpuid; /* NULL until it is asked for */
        uint32_t            nr_threads; /* started and not joined */
        uint64_t            slots_ns;
        /* under lock */
        pthread_mutex_t lock;
        pthread_cond_t  go;      /* `want` changed */
        pthread_cond_t  parked;  /* nr_running fell to 0 */
        uint32_t        nr_running;
        /* Written under lock; read without it between two KVM_RUNs. Relaxed: whoever sees a new value takes the lock, and whoever
         * misses it is kicked out of KVM_RUN by immediate_exit and a signal that were sent after it was written. */
        _Atomic enum vm_want want;
        /* relaxed: only who was first counts, the time stamp travels by the event */
        atomic_flag entered;
};

/* Any thread; under lock where the answer must still hold afterwards. */
static inline enum vm_want vm_want_now(const struct vm *vm)
{
        /* relaxed: see the field */
        return atomic_load_explicit(&vm->want, memory_order_relaxed);
}

/* What KVM_GET_SUPPORTED_CPUID says, read once. Session thread. */
int vm_host_cpuid(struct vm *vm, const struct cpuid_table **ret, struct err *e);
