/* kvm/vm.h: the machine: a KVM VM with its slots, irqchip, PIT, serial port and vCPUs; from a vm_state or from a boot entry.
 * Owns:    every KVM descriptor and vCPU thread; borrows guest RAM (layout->ram) until vm_free.
 * Threads: made, loaded, started, paused, saved and freed by one session thread; vCPU threads call the events.
 *          Events must not block on the session thread and must not call vm_pause, vm_stop or vm_free.
 * Blocks:  vm_pause and vm_stop until every vCPU thread has left KVM_RUN. One that waits inside KVM for a page leaves it only
 *          when the page comes: have the pager answer first. */
#pragma once

#include "core/base/err.h"
#include "core/model/device_config.h"
#include "core/model/host_caps.h"
#include "core/model/mem_layout.h"
#include "core/model/vm_state.h"

struct vm;

/* Fills the kvm_* fields of caps. */
void kvm_probe(struct host_caps *caps);

enum vm_exit {
        VM_EXIT_SHUTDOWN, /* triple fault: how a microVM powers off */
        VM_EXIT_LOST,     /* SIGBUS of a vCPU, or MMIO inside RAM: a page is not there; gpa says which */
        VM_EXIT_ERROR,    /* KVM failed: text says how */
};

struct vm_events {
        void *arg;
        /* Just before the first KVM_RUN of the first vCPU that gets there (T2). Once. */
        void (*entered)(void *arg, uint64_t ns);
        /* A byte of the serial port's transmitter; the callee keeps it. It may block its vCPU while nobody drains, but not while
         * the VM is being paused or stopped. Serialised by the serial port's lock. */
        void (*serial_out)(void *arg, uint8_t byte);
        /* A vCPU will not go on; its thread waits to be stopped. gpa: VM_EXIT_LOST; text else. May come once per vCPU. */
        void (*exited)(void *arg, enum vm_exit why, uint32_t vcpu, gpa_t gpa, const char *text);
        /* A balloon gave whole pages back: they read as zeros from now on. Device threads; may be NULL where there is no
         * balloon. */
        void (*discard)(void *arg, gpa_t gpa, uint64_t len_bytes);
        /* One line for the user, from a device. Device threads. May be NULL. */
        void (*message)(void *arg, const char *text);
};

struct vm_config {
        const struct host_caps  *caps;
        const struct mem_layout *layout; /* ram mapped */
        enum machine_kind        machine;
        uint32_t                 nr_vcpus;
        struct vm_events         events;
        /* a file that keeps what KVM_GET_SUPPORTED_CPUID said (kvm/cpuid_cache.h), or NULL; borrowed */
        const char              *cpuid_cache;
        /* What stands behind the virtio slots. The machine's fixed slots are always there, with or without one. */
        const struct device_config *devices;
        size_t                      nr_devices;
        bool                        track_dirty; /* KVM logs what is written: vm_dirty_log */
        const struct vm_state      *saved; /* what will be loaded: devices are made as it says; NULL: a VM to boot */
        /* Who touches a page that is not there shall wait for it himself, where KVM can be told so: userfaultfd then sees reads
         * as reads. It costs that a guest that halts keeps its host CPU. */
        bool                        faults_in_place;
};

/* Build stage: VM, TSS and identity map, every memory slot, and only then irqchip, PIT, vCPUs (the order is one table in vm.c,
 * with reasons). *ret_slots_ns (may be NULL): the bare KVM_SET_USER_MEMORY_REGION calls. */
int vm_new(const struct vm_config *c, struct vm **ret, uint64_t *ret_slots_ns, struct err *e);

#define VM_REFUSED_MAX 64
struct vm_load_report {
        /* The guest knows a TSC of another frequency than it gets: this host cannot scale. 0: no difference worth a word (250
         * ppm, what the hardware of one model differs by; KVM's own tolerance). */
        uint32_t tsc_khz_saved, tsc_khz_here;
        size_t nr_refused; /* MSRs that the host did not take; those past VM_REFUSED_MAX are counted only */
        struct {
                uint32_t vcpu, index;
                uint64_t data;
        } refused[VM_REFUSED_MAX];
};
/* Sets everything that is in *s, in the order of the tables of kvm/vcpu_state.c and kvm/platform_state.c. A value that KVM
 * refuses (MSRs aside): ERR_SNAPSHOT, naming vCPU and piece. PICs that are not in *s are fresh, with all lines masked. */
int vm_load(struct vm *vm, const struct vm_state *s, struct vm_load_report *ret, struct err *e);

/* What the guest saw of its CPU and this host's lacks: "avx512f, pku": at most size bytes; returns how many features. Before
 * vm_load. */
int vm_cpu_lacks(struct vm *vm, const struct vm_state *s, char *ret, size_t size, struct err *e);

/* Everything KVM can tell. Paused VM only. The caller frees *ret with vm_state_free, also on failure. */
int vm_save(struct vm *vm, struct vm_state *ret, struct err *e);
/* With track_dirty: every RAM page that the guest, or KVM for it, wrote since this was called last (or since vm_new), in order.
 * What devices wrote is told to mem_layout.written. Paused VM only. On failure pages may have been told already. */
int vm_dirty_log(struct vm *vm, void (*dirty)(void *arg, uint64_t page), void *arg, struct err *e);
/* What the guest has written to its disks survives a power loss, as the state that was saved relies on it: before a snapshot
 * counts. Paused or running; blocks as long as the disks do. */
int vm_sync_disks(struct vm *vm, struct err *e);

/* Starts the vCPU threads; they wait until vm_resume. */
int  vm_start(struct vm *vm, struct err *e);
void vm_resume(struct vm *vm);
void vm_pause(struct vm *vm);
/* The first part of it, with a limit: true when every vCPU is parked, so that vm_pause will not wait for one. Else they stay
 * asked to:
 * ask again, or take it back by vm_resume. */
bool vm_pause_begin(struct vm *vm, int timeout_ms);
/* For good: threads joined. Later calls but vm_free do nothing. */
void vm_stop(struct vm *vm);
void vm_free(struct vm *vm); /* stops first; accepts NULL */
/* As vm_stop, but waits for nobody: no vCPU enters the guest again, and what one still completes inside KVM is dropped. For a
 * fault that can only be answered with wrong bytes: condemn the VM first. Accepts NULL. */
void vm_condemn(struct vm *vm);

/* Every page of RAM is there: devices need not look any more. Any thread. */
void vm_settled(struct vm *vm);
/* The slots that have a device, a bit each. */
uint32_t vm_slots(const struct vm *vm);
/* The balloon: -ENODEV without one. */
int vm_balloon_set(struct vm *vm, uint64_t target_bytes);  /* what the guest is to give */
int vm_balloon_get(struct vm *vm, uint64_t *ret_bytes);    /* what it gave */
/* The kernel's thread id of a vCPU; 0 before vm_start. */
int vm_vcpu_tid(const struct vm *vm, uint32_t vcpu);

/* Bytes typed at the serial port; returns how many its receiver took now. Session thread. */
size_t vm_serial_in(struct vm *vm, const uint8_t *bytes, size_t len);
