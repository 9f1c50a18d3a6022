/* kvm/cpu_features.h: which of the CPU features that a guest has seen are not there: by name.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/model/vm_state.h"
#include "kvm/cpuid.h"

#include <stddef.h>

/* What the saved vCPUs saw and `host` (KVM_GET_SUPPORTED_CPUID) lacks: "avx512f, pku", at most size bytes with the NUL, each
 * once; returns how many. Where no CPUID was saved it is told from what the guest has switched on: CR4, EFER, XCR0. What KVM or
 * the VMM makes by itself does not count, nor does what follows a control register. */
int cpu_features_lacking(const struct vm_state *s, const struct cpuid_table *host, char *ret, size_t size);
