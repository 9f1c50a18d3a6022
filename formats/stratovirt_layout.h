/* formats/stratovirt_layout.h: the bytes of a StratoVirt microVM snapshot, generation 3 (StratoVirt 2.5.0).
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never.
 *
 *   state    0     u64 length, JSON header, zeros      4096 bytes, format "Device"
 *            4096  descriptors: JSON objects back to back, desc_len bytes: which types there are and where their fields lie
 *            ...   records back to back: { u64 name, u64 object, u64 size, body }   virtio bodies JSON, the others structs
 *
 *   memory   0     u64 length, JSON header, zeros      4096 bytes, format "MemoryFull"
 *            4096  u64 length, JSON table, zeros       up to a multiple of 4096: D
 *            D     RAM, every page, zero ones too
 *            D+RAM u64 length, JSON list, zeros        4096 bytes; the list is empty on x86
 *
 * Numbers are little-endian. `name` and `object` are SipHash-1-3 of "Type/instance" and "Type". */
#pragma once

#include "core/model/vm_state.h" /* the kernel's structs */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define SV_HEADER_BYTES      4096
#define SV_HEADER_TEXT_MAX   (SV_HEADER_BYTES - 8)
#define SV_COMPAT_VERSION    8194 /* of every release since 2.0: tells no generation */
#define SV_HYPERVISOR        12   /* KVM_GET_API_VERSION */
#define SV_DESC_TEXT_MAX     (1 << 20)
#define SV_BODY_MAX          (1 << 20)
#define SV_STATE_MAX         (16u << 20) /* 16 vCPUs and every virtio device there is make 0.5 MiB; arbitrary above that */
#define SV_DESCS_MAX         320         /* 254 vCPUs, StratoVirt's most, and every other type */
#define SV_TABLE_MAX         (1 << 20)
#define SV_RECORD_BYTES      24
#define SV_OLD_RECORD_BYTES  16 /* generations 1 and 2: no size */
#define SV_OLD_HEADER_BYTES  72 /* generation 1: a struct that begins with the magic somewhere */
#define SV_SLOTS             6  /* virtio-mmio slots that are always there: 4 block, 2 net */
#define SV_BLOCK_SLOTS       4
#define SV_STRATOVIRT_VCPUS  254

struct sv_record_header {
        uint64_t name, object, size;
};
static_assert(sizeof(struct sv_record_header) == SV_RECORD_BYTES, "a record's header in the file");

/* What the file stores as kernel structs, verbatim. */
#define SV_MSRS_MAX 256
static_assert(sizeof(struct kvm_regs) == 144, "field regs");
static_assert(sizeof(struct kvm_sregs) == 312, "field sregs");
static_assert(sizeof(struct kvm_mp_state) == 4, "field mp_state");
static_assert(sizeof(struct kvm_lapic_state) == 1024, "field lapic");
static_assert(sizeof(struct kvm_msr_entry) == 16, "one of field msr_list");
static_assert(sizeof(struct kvm_vcpu_events) == 64, "field cpu_events");
static_assert(sizeof(struct kvm_xcrs) == 392, "field xcrs");
static_assert(sizeof(struct kvm_debugregs) == 128, "field debugregs");
static_assert(sizeof(struct kvm_pit_state2) == 112, "field pit_state");
static_assert(sizeof(struct kvm_clock_data) == 48, "field kvm_clock");
static_assert(sizeof(struct kvm_irqchip) == 520, "field ioapic");
static_assert(offsetof(struct kvm_irqchip, chip.ioapic) == 8, "field ioapic");

#define SV_XSAVE_BYTES   4096 /* KVM_GET_XSAVE, never XSAVE2 */
#define SV_SERIAL_RX_MAX 1024
#define SV_IOAPIC_BASE   0xfec00000ULL
