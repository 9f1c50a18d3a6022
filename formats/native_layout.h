/* formats/native_layout.h: the bytes of rouse's own snapshot on disk.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never.
 *
 *   DIR/            mode 0700, files 0600: they hold a guest's secrets
 *     state         struct native_header, then sections back to back until the file's end
 *     memory        raw:    page N at N * 4096 (windows in order of guest address, no gap); as long as RAM is; zero pages are holes, and
 *                           so are those that are the parent's
 *                   packed: chunks of neighbouring data pages in order of RAM, each an LZ4 block (or as it is, where that is no smaller),
 *                           back to back; nothing of zero pages
 *     pages         table_file.h: runs; raw: one XXH3-64 per data page; packed: the chunks, with one each, in the order of the runs
 *     hints         table_file.h; optional
 *
 *   state:
 *   +----------------------+------------------------+-------+------------------------+-------+---
 *   | struct native_header | struct native_section  | bytes | struct native_section  | bytes |
 *   +----------------------+------------------------+-------+------------------------+-------+---
 *
 *   section             how often          bytes
 *   identity            once               struct native_identity
 *   parent              at most once       struct native_parent, then two paths: needed where identity has a parent
 *   machine             once               struct native_machine
 *   memory              once               struct native_memory, then struct native_window each
 *   cpu                 at most once       struct native_cpu: lacks where the vCPUs' cpuid says it
 *   vcpu.N.info         each vCPU          struct native_vcpu
 *   vcpu.N.PIECE        each vCPU          the kernel's struct or array of them (vcpu_piece_name); tsc_khz and nested may lack,
 *                                          and so may fpu, or xsave and xcrs in its stead, and cpuid where info has a topology
 *   platform.PIECE      once               the kernel's struct (platform_piece_name); both PICs may lack: as KVM makes them
 *   device.N.serial     what there is      struct native_serial, then the received bytes
 *   device.N.virtio     what there is      struct native_virtio, its queues, then what its kind adds
 *
 * Numbers are little-endian. A section of an unknown name is ignored and reported; the version of a known one must be known. */
#pragma once

#include "core/model/identity.h"
#include "core/model/vm_state.h" /* the kernel's structs */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define NATIVE_STATE  "state"
#define NATIVE_MEMORY "memory"
#define NATIVE_PAGES  "pages"

#define NATIVE_MAGIC           "rouse-st"
#define NATIVE_VERSION         1
#define NATIVE_SECTION_VERSION 1 /* of every section so far */
#define NATIVE_NAME_MAX        32
#define NATIVE_SECTIONS_MAX    4096        /* 254 vCPUs have 14 each; arbitrary above that */
#define NATIVE_STATE_MAX       (64u << 20) /* 254 vCPUs with the largest XSAVE and nested state make 41 MiB; the rest is spare */

struct native_header {
        char     magic[8];
        uint32_t version;
        uint32_t nr_sections;
        uint64_t file_bytes; /* of the whole file: one that is cut between two sections shows */
        uint64_t header_sum; /* XXH3-64 of all before it */
};
static_assert(sizeof(struct native_header) == 32, "on-disk header");
static_assert(offsetof(struct native_header, header_sum) == 24, "on-disk header");

struct native_section {
        char     name[NATIVE_NAME_MAX]; /* NUL-filled, the last byte is NUL */
        uint32_t version;
        uint32_t reserved; /* 0 */
        uint64_t len;      /* of its bytes */
        uint64_t sum;      /* XXH3-64 of its bytes, seeded with the XXH3-64 of this struct up to here */
};
static_assert(sizeof(struct native_section) == 56, "on-disk section");
static_assert(offsetof(struct native_section, sum) == 48, "on-disk section");

struct native_identity {
        char self[IDENTITY_MAX]; /* UUID, NUL-filled */
        char parent[IDENTITY_MAX];
};
static_assert(sizeof(struct native_identity) == 192, "on-disk section");

/* Where the parent was when the child was written. Either may be empty. */
struct native_parent {
        uint32_t absolute_bytes; /* of a path, without a NUL */
        uint32_t relative_bytes; /* the same, as seen from the child's directory; it follows */
};
static_assert(sizeof(struct native_parent) == 8, "on-disk section");

struct native_machine {
        uint32_t kind; /* enum native_machine_kind */
        uint32_t nr_vcpus;
        uint32_t nr_devices;
        uint32_t reserved;
};
static_assert(sizeof(struct native_machine) == 16, "on-disk section");

enum native_machine_kind { NATIVE_MACHINE_MICROVM = 1 };

struct native_memory {
        uint64_t total_bytes;
        uint64_t nr_windows;
};
struct native_window {
        uint64_t gpa;
        uint64_t size_bytes;
};
static_assert(sizeof(struct native_memory) == 16 && sizeof(struct native_window) == 16, "on-disk section");

struct native_cpu {
        char vendor[16]; /* NUL-filled */
};
static_assert(sizeof(struct native_cpu) == CPU_VENDOR_MAX - 1, "on-disk section");

/* All zero after the APIC id: what a rouse wrote that knew no topology. One that does not know it refuses what is not zero. */
struct native_vcpu {
        uint32_t apic_id;
        uint8_t  cpuid_origin; /* enum native_cpuid_origin */
        uint8_t  u8_offsets;   /* 0 or 1 */
        uint8_t  max_vcpus;    /* 0: no topology */
        uint8_t  threads, cores, dies, sockets;
        uint8_t  reserved[5]; /* 0 */
};
static_assert(sizeof(struct native_vcpu) == 16 && offsetof(struct native_vcpu, sockets) == 10, "on-disk section");

enum native_cpuid_origin { NATIVE_CPUID_SAVED = 0, NATIVE_CPUID_STRATOVIRT = 1 };

struct native_serial {
        char     id[NATIVE_NAME_MAX];
        uint8_t  ier, iir, fcr, lcr, mcr, lsr, msr, scr;
        uint16_t divisor;
        uint16_t rx_len; /* bytes that follow */
        uint8_t  thr_pending;
        uint8_t  reserved[3];
};
static_assert(sizeof(struct native_serial) == 48, "on-disk section");
static_assert(offsetof(struct native_serial, divisor) == 40, "on-disk section");

struct native_virtio {
        char     id[NATIVE_NAME_MAX];
        uint32_t kind; /* device id of the virtio specification */
        uint32_t slot; /* UINT32_MAX: not known */
        uint64_t device_features, driver_features;
        uint32_t status, interrupt_status;
        uint32_t device_features_sel, driver_features_sel, queue_sel, config_generation;
        uint8_t  no_transport, activated, broken; /* 0 or 1 */
        uint8_t  reserved;                        /* 0 */
        uint16_t nr_queues;                       /* struct native_virtqueue that follow */
        uint16_t kind_bytes;                      /* of the kind's struct that follows them */
};
static_assert(sizeof(struct native_virtio) == 88 && offsetof(struct native_virtio, nr_queues) == 84, "on-disk section");

struct native_virtqueue {
        uint64_t desc_gpa, avail_gpa, used_gpa;
        uint16_t size, max_size, next_avail, next_used;
        uint8_t  ready; /* 0 or 1 */
        uint8_t  reserved[7];
};
static_assert(sizeof(struct native_virtqueue) == 40 && offsetof(struct native_virtqueue, ready) == 32, "on-disk section");

struct native_blk {
        uint64_t capacity_sectors;
        uint32_t seg_max, blk_size;
        uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
        uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
        uint16_t num_queues;
        uint8_t  write_zeroes_may_unmap, wce;
};
static_assert(sizeof(struct native_blk) == 40 && offsetof(struct native_blk, wce) == 39, "on-disk section");

struct native_net {
        uint8_t  mac[6];
        uint16_t status, max_pairs, mtu;
        uint8_t  has_filters, promisc, allmulti, alluni, nomulti, nouni, nobcast, uni_overflow, multi_overflow; /* 0 or 1 */
        uint8_t  reserved[3];
        uint16_t nr_uni, nr_multi;
        uint8_t  uni[VIRTIO_NET_MACS_MAX][6], multi[VIRTIO_NET_MACS_MAX][6];
        uint8_t  vlans[512];
};
static_assert(sizeof(struct native_net) == 1308 && offsetof(struct native_net, uni) == 28, "on-disk section");

struct native_port {
        uint8_t guest_connected, host_connected; /* 0 or 1 */
};
struct native_console {
        uint16_t           cols, rows;
        uint32_t           max_ports;
        struct native_port ports[VIRTIO_CONSOLE_PORTS_MAX];
        uint8_t            reserved[2];
};
static_assert(sizeof(struct native_console) == 72, "on-disk section");

struct native_balloon {
        uint32_t num_pages, actual;
};
struct native_vsock {
        uint64_t guest_cid;
};
static_assert(sizeof(struct native_balloon) == 8 && sizeof(struct native_vsock) == 8, "on-disk section");

/* Kernel structs as they stand in vcpu.N.PIECE and platform.PIECE. */
static_assert(sizeof(struct kvm_cpuid_entry2) == 40, "on-disk section cpuid");
static_assert(sizeof(struct kvm_mp_state) == 4, "on-disk section mp_state");
static_assert(sizeof(struct kvm_sregs) == 312, "on-disk section sregs");
static_assert(sizeof(struct kvm_regs) == 144, "on-disk section regs");
static_assert(sizeof(struct kvm_fpu) == 416, "on-disk section fpu");
static_assert(sizeof(struct kvm_xcrs) == 392, "on-disk section xcrs");
static_assert(sizeof(struct kvm_debugregs) == 128, "on-disk section debugregs");
static_assert(sizeof(struct kvm_lapic_state) == 1024, "on-disk section lapic");
static_assert(sizeof(struct kvm_msr_entry) == 16, "on-disk section msrs");
static_assert(sizeof(struct kvm_vcpu_events) == 64, "on-disk section events");
static_assert(sizeof(struct kvm_pic_state) == 16, "on-disk section pic_master, pic_slave");
static_assert(sizeof(struct kvm_ioapic_state) == 216, "on-disk section ioapic");
static_assert(sizeof(struct kvm_pit_state2) == 112, "on-disk section pit");
static_assert(sizeof(struct kvm_clock_data) == 48, "on-disk section clock");
