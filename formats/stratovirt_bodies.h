/* formats/stratovirt_bodies.h: the binary records of a StratoVirt state, generation 3, as StratoVirt 2.5.0 lays them out.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never.
 *
 * For the writer. The reader finds fields by the file's own descriptors, as another StratoVirt may lay them out otherwise. */
#pragma once

#include "formats/stratovirt_layout.h"

#include <stdbool.h>

/* X86CPUState. What StratoVirt leaves in the padding is whatever was in its memory. */
struct sv_vcpu_body {
        uint8_t                max_vcpus, nr_threads, nr_cores, nr_dies, nr_sockets;
        uint32_t               apic_id;
        struct kvm_regs        regs;
        struct kvm_sregs       sregs;
        struct kvm_fpu         fpu;
        struct kvm_mp_state    mp_state;
        struct kvm_lapic_state lapic;
        uint64_t               msr_len;
        struct kvm_msr_entry   msr_list[SV_MSRS_MAX];
        struct kvm_vcpu_events cpu_events;
        uint8_t                xsave[SV_XSAVE_BYTES];
        struct kvm_xcrs        xcrs;
        struct kvm_debugregs   debugregs;
};
static_assert(sizeof(struct sv_vcpu_body) == 10704, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, apic_id) == 8, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, regs) == 16, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, sregs) == 160, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, fpu) == 472, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, mp_state) == 888, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, lapic) == 892, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, msr_len) == 1920, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, msr_list) == 1928, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, cpu_events) == 6024, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, xsave) == 6088, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, xcrs) == 10184, "X86CPUState in the file");
static_assert(offsetof(struct sv_vcpu_body, debugregs) == 10576, "X86CPUState in the file");

/* KvmDeviceState */
struct sv_kvm_body {
        struct kvm_pit_state2 pit_state;
        struct kvm_clock_data kvm_clock;
        struct kvm_irqchip    ioapic;
};
static_assert(sizeof(struct sv_kvm_body) == 680, "KvmDeviceState in the file");
static_assert(offsetof(struct sv_kvm_body, kvm_clock) == 112, "KvmDeviceState in the file");
static_assert(offsetof(struct sv_kvm_body, ioapic) == 160, "KvmDeviceState in the file");

/* SerialState */
struct sv_serial_body {
        uint8_t  rbr_value[SV_SERIAL_RX_MAX];
        uint64_t rbr_len;
        uint8_t  ier, iir, lcr, mcr, lsr, msr, scr;
        uint16_t div;
        uint32_t thr_pending;
};
static_assert(sizeof(struct sv_serial_body) == 1048, "SerialState in the file");
static_assert(offsetof(struct sv_serial_body, rbr_len) == 1024, "SerialState in the file");
static_assert(offsetof(struct sv_serial_body, ier) == 1032, "SerialState in the file");
static_assert(offsetof(struct sv_serial_body, div) == 1040, "SerialState in the file");
static_assert(offsetof(struct sv_serial_body, thr_pending) == 1044, "SerialState in the file");

/* RngState */
struct sv_rng_body {
        uint64_t device_features, driver_features;
};
static_assert(sizeof(struct sv_rng_body) == 16, "RngState in the file");

/* VsockState */
struct sv_vsock_body {
        uint64_t device_features, driver_features;
        uint8_t  config_space[8]; /* the guest's CID, little-endian */
        uint16_t last_avail_idx[2];
        uint8_t  broken;
};
static_assert(sizeof(struct sv_vsock_body) == 32, "VsockState in the file");
static_assert(offsetof(struct sv_vsock_body, last_avail_idx) == 24, "VsockState in the file");
static_assert(offsetof(struct sv_vsock_body, broken) == 28, "VsockState in the file");
