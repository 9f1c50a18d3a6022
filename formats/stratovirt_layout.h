/* formats/stratovirt_layout.h: the bytes of a StratoVirt microVM snapshot, generations 3 (StratoVirt 2.5) and 2 (2.3, 2.4).
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never.
 *
 *   state    0     u64 length, JSON header, zeros      4096 bytes, format "Device"
 *            4096  descriptors: JSON objects back to back, desc_len bytes: which types there are and where their fields lie
 *            ...   records back to back                generation 3: { u64 name, u64 object, u64 size, body }, some of JSON
 *                                                      generation 2: { u64 name, u64 object, body }, every body a struct
 *
 *   memory   0     u64 length, JSON header, zeros      4096 bytes, format "MemoryFull"
 *            4096  generation 3: u64 length, JSON table, zeros up to a multiple of 4096
 *                  generation 2: struct sv2_table, zeros up to 8192
 *            D     RAM, every page, zero ones too      D = 8192
 *            D+RAM generation 3: u64 length, JSON list, zeros, 4096 bytes; the list is empty on x86
 *                  generation 2: the file ends
 *
 * Numbers are little-endian. `name` and `object` are SipHash-1-3 of "Type/instance" and "Type". The padding of structs is memory
 * that nobody set. */
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
#define SV_STATE_MAX         (16u << 20) /* 254 vCPUs and every virtio device there is make 3.5 MiB; arbitrary above that */
#define SV_DESCS_MAX         320         /* 254 vCPUs, StratoVirt's most, and every other type */
#define SV_TABLE_MAX         (1 << 20)
#define SV_RECORD_BYTES      24
#define SV2_RECORD_BYTES     16 /* generations 1 and 2: no size */
#define SV_OLD_HEADER_BYTES  72 /* generation 1: a struct that begins with the magic somewhere */
#define SV_SLOTS             6  /* virtio-mmio slots that are always there: 4 block, 2 net */
#define SV_BLOCK_SLOTS       4
#define SV_FURTHER_MAX       2    /* transports of further devices: a vsock and a console have one each, other kinds have none */
#define SV_QUEUE_SPLIT       1    /* queue_type: the only one that StratoVirt runs */
#define SV_OPTIONAL_QUEUE    256  /* entries of each queue of an rng and a balloon: what no record says */
#define SV_RAM_END_GPA       (513ULL << 30) /* StratoVirt's most RAM, 512 GiB, of which 3 GiB are below 4 GiB */
#define SV_RAM_HOLE_GPA      (3ULL << 30)
#define SV_RAM_HIGH_GPA      (4ULL << 30)

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

/* --- generation 2: bodies that are structs --- */

/* struct virtio_blk_config as StratoVirt has it: what follows max_write_zeroes is not there. */
struct sv2_block_config {
        uint64_t capacity;
        uint32_t size_max, seg_max;
        uint16_t cylinders;
        uint8_t  heads, sectors;
        uint32_t blk_size;
        uint8_t  physical_block_exp, alignment_offset;
        uint16_t min_io_size;
        uint32_t opt_io_size;
        uint8_t  wce, unused;
        uint16_t num_queues;
        uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
        uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
        uint8_t  write_zeroes_may_unmap, unused1[3];
} __attribute__((packed));
static_assert(sizeof(struct sv2_block_config) == 60, "field config_space of BlockState");

struct sv2_net_config {
        uint8_t  mac[6];
        uint16_t status, max_virtqueue_pairs, mtu;
        uint32_t speed;
        uint8_t  duplex;
} __attribute__((packed));
static_assert(sizeof(struct sv2_net_config) == 17, "field config_space of VirtioNetState");

struct sv2_console_config {
        uint16_t cols, rows;
        uint32_t max_nr_ports, emerg_wr;
};
static_assert(sizeof(struct sv2_console_config) == 12, "field config_space of VirtioSerialState");

struct sv2_queue {
        uint64_t desc_gpa, avail_gpa, used_gpa;
        uint64_t host_cache[3]; /* addresses of the process that saved */
        uint16_t max_size, size, vector, next_avail, next_used, last_signal_used;
        uint8_t  ready, signal_used_valid, padding[2];
};
static_assert(sizeof(struct sv2_queue) == 64 && offsetof(struct sv2_queue, max_size) == 48, "queues of VirtioMmioState");

#define SV2_QUEUES          32
#define SV2_TRANSPORT_BYTES 2080

#define SV2_RAM_BLOCKS 16
struct sv2_block_of_ram {
        uint64_t unused, size, file_offset; /* absolute */
};
struct sv2_window {
        uint64_t ram_offset, size, gpa;
};
struct sv2_table {
        uint64_t                nr_blocks;
        struct sv2_block_of_ram blocks[SV2_RAM_BLOCKS];
        uint64_t                nr_windows;
        struct sv2_window       windows[SV2_RAM_BLOCKS];
};
static_assert(sizeof(struct sv2_table) == 784 && offsetof(struct sv2_table, nr_windows) == 392, "table of RAM");

#define SV_XSAVE_BYTES   4096 /* KVM_GET_XSAVE, never XSAVE2 */
#define SV_SERIAL_RX_MAX 1024
#define SV_IOAPIC_BASE   0xfec00000ULL
