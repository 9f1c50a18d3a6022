/* kvm/cpuid.h: the CPUID that a guest sees: the host's as KVM offers it, with the topology of this VM.
 * Owns:    nothing; tables are plain data.
 * Threads: any.
 * Blocks:  never. (The CPUID instruction is slow where the host is itself a guest, so it is used for few leaves, once per VM.) */
#pragma once

#include "core/base/err.h"
#include "core/model/vm_state.h"

#include <linux/kvm.h>

/* struct kvm_cpuid2 with room. */
struct cpuid_table {
        uint32_t                nr;
        uint32_t                padding;
        struct kvm_cpuid_entry2 v[CPUID_MAX];
};

/* KVM_GET_SUPPORTED_CPUID, its cache and brand leaves straight from the CPU. */
int cpuid_host(int kvm_fd, struct cpuid_table *ret, struct err *e);

/* For a VM that rouse boots: N vCPUs as N cores of one package. 0, or -ENOSPC when the leaves do not fit. */
int cpuid_native(const struct cpuid_table *host, uint32_t apic_id, uint32_t nr_vcpus, struct cpuid_table *ret);

/* For a StratoVirt snapshot: what StratoVirt would have given (stratovirt.md 2.7). -EINVAL: a count of the topology is 0. */
int cpuid_stratovirt(const struct cpuid_table *host, uint32_t apic_id, const struct cpu_topology *t, struct cpuid_table *ret);

/* The entry of a leaf (of that sub-leaf, where the leaf has some), or NULL. */
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *t, uint32_t function, uint32_t index);
