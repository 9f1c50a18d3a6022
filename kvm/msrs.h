/* kvm/msrs.h: all MSRs of a vCPU, got and set in spite of the few that KVM refuses.
 * Owns:    nothing; the array returned belongs to the caller.
 * Threads: session thread.
 * Blocks:  on guest pages: KVM writes guest RAM when kvmclock's MSRs are set. */
#pragma once

#include "kvm/vm.h"

/* Every MSR of KVM_GET_MSR_INDEX_LIST that KVM_GET_MSRS returns, in the list's order (the TSC comes before TSC_DEADLINE in
 * it). */
int msrs_get(int kvm_fd, int vcpu_fd, struct kvm_msr_entry **ret, uint32_t *ret_nr);

/* Sets them in order. Those that KVM refuses are added to *report, and the rest is set all the same. */
int msrs_set(int vcpu_fd, uint32_t vcpu, const struct kvm_msr_entry *v, uint32_t nr, struct vm_load_report *report);
