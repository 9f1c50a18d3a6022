/* formats/native_layout.h: the bytes of rouse's own snapshot on disk.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never.
 *
 *   DIR/            mode 0700, files 0600: they hold a guest's secrets
 *     state         struct native_header, then sections back to back until the file's end
 *     memory        RAM: page N at N * 4096 (windows in order of guest address, no gap); as long as RAM is; zero pages are holes
 *     pages         table_file.h: runs, and one XXH3-64 per data page (memory is raw, so its chunks are pages)
 *     hints         table_file.h; optional
 *
 *   state:
 *   +----------------------+------------------------+-------+------------------------+-------+---
 *   | struct native_header | struct native_section  | bytes | struct native_section  | bytes |
 *   +----------------------+------------------------+-------+------------------------+-------+---
 *
 *   section             how often          bytes
 *   identity            once               struct native_identity
 *   machine             once               struct native_machine
 *   memory              once               struct native_memory, then struct native_window each
 *   vcpu.N.info         each vCPU          struct native_vcpu
 *   vcpu.N.PIECE        each vCPU          the kernel's struct or array of them (vcpu_piece_name); tsc_khz and nested may lack,
 *                                          and so may fpu, or xsave and xcrs in its stead
 *   platform.PIECE      once               the kernel's struct (platform_piece_name)
 *   device.N.serial     what there is      struct native_serial, then the received bytes
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
#define NATIVE_SECTIONS_MAX    1024        /* 16 vCPUs have 14 each; arbitrary above that */
#define NATIVE_STATE_MAX       (64u << 20) /* 16 vCPUs with the largest XSAVE and nested state make 4 MiB; arbitrary above that */

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

struct native_vcpu {
        uint32_t apic_id;
        uint32_t reserved[3]; /* 0 */
};
static_assert(sizeof(struct native_vcpu) == 16, "on-disk section");

struct native_serial {
        char     id[32];
        uint8_t  ier, iir, fcr, lcr, mcr, lsr, msr, scr;
        uint16_t divisor;
        uint16_t rx_len; /* bytes that follow */
        uint8_t  thr_pending;
        uint8_t  reserved[3];
};
static_assert(sizeof(struct native_serial) == 48, "on-disk section");
static_assert(offsetof(struct native_serial, divisor) == 40, "on-disk section");

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
