/* bench/floors/kvm_calls.h: the least that sets up a VM: the KVM calls of a restore, one after another, with a new vCPU's own
 * values.
 * Owns:    nothing that outlives a call.
 * Threads: any.
 * Blocks:  as long as KVM does, some ms. */
#pragma once

#include "core/base/err.h"

#include <stdint.h>

struct mem_layout;

/* From open(/dev/kvm) to the last piece of state of the last vCPU, with slots like the layout's over memory that nobody has
 * touched, and as many vCPUs (1 to 16; of more, 16). Reading files, mapping memory and running the guest are not in it. 0 and
 * *ret_us, or -errno and *e. */
int kvm_calls_measure(const struct mem_layout *layout, uint32_t nr_vcpus, double *ret_us, struct err *e);
