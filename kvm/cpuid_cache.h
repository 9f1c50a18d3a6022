/* kvm/cpuid_cache.h: what KVM_GET_SUPPORTED_CPUID said, kept until the host or its KVM changes: asking costs 0.01 ms on a bare
 * CPU and 0.4 ms on a host that is itself a guest, which traps at every leaf; a look at the file 0.04 ms.
 * Owns:    nothing.
 * Threads: any; processes may race: a reader sees a whole file or none.
 * Blocks:  on the file system. */
#pragma once

#include "kvm/cpuid.h"

/* A hit is told by boot, KVM module, CPU, and this process's permissions; anything else is a miss. */
bool cpuid_cache_get(const char *path, int kvm_fd, struct cpuid_table *ret);
/* As good as it goes: without it the next one asks again. */
void cpuid_cache_put(const char *path, int kvm_fd, const struct cpuid_table *t);
