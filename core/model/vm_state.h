/* core/model/vm_state.h: a saved machine without its memory: plain, printable, comparable.
 * Owns:    the arrays it points to; vm_state_free gives them back and accepts zeroed and half-built objects.
 * Threads: plain data.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"
#include "core/base/units.h"
#include "core/model/virtio_state.h"

#include <linux/kvm.h>
#include <stddef.h>

#define VCPUS_MAX      254 /* StratoVirt's most; KVM's own limit is asked for too */
#define BOOT_VCPUS_MAX 16 /* of a VM that rouse boots: its MP table has room for no more */
#define MSRS_MAX       1024
#define CPUID_MAX      256
#define XSAVE_MAX      65536
#define NESTED_MAX     (64 * 1024)
#define IOAPIC_CHIP_ID 2
#define CPU_VENDOR_MAX 17 /* StratoVirt keeps 16 bytes for the 12 that there are */

enum machine_kind {
        MACHINE_MICROVM = 1, /* StratoVirt's microvm map, which is rouse's own too */
};

/* One bit per piece of vCPU state: which members of vcpu_state are there. kvm/vcpu_state.c has a row for each. */
enum vcpu_piece {
        VCPU_CPUID,
        VCPU_TSC_KHZ,
        VCPU_MP_STATE,
        VCPU_SREGS,
        VCPU_REGS,
        VCPU_FPU, /* only from hosts without XSAVE */
        VCPU_XSAVE,
        VCPU_XCRS,
        VCPU_DEBUGREGS,
        VCPU_LAPIC,
        VCPU_MSRS,
        VCPU_NESTED,
        VCPU_EVENTS,
        VCPU_PIECES, /* how many */
};

/* How the vCPU's CPUID comes about. */
enum cpuid_origin {
        CPUID_SAVED,      /* cpuid[] holds it */
        CPUID_STRATOVIRT, /* the file has none: rebuilt from the host's and `topology` (stratovirt.md 2.7) */
};

struct cpu_topology {
        uint8_t max_vcpus, threads, cores, dies, sockets;
        bool    u8_offsets; /* StratoVirt 2.5.0 counts leading zeros on u8: its leaf 0xB offsets are 24, 48, 72 too big */
};

struct vcpu_state {
        uint32_t                have;    /* 1 << enum vcpu_piece */
        uint32_t                apic_id;
        enum cpuid_origin       cpuid_origin;
        /* max_vcpus 0: none is known. CPUID_STRATOVIRT needs it; kept with a saved CPUID for the way back */
        struct cpu_topology     topology;
        uint32_t                nr_cpuid;
        struct kvm_cpuid_entry2 *cpuid;
        uint32_t                tsc_khz;
        struct kvm_mp_state     mp_state;
        struct kvm_sregs        sregs;
        struct kvm_regs         regs;
        struct kvm_fpu          fpu;
        uint32_t                xsave_bytes; /* 4096, or what KVM_GET_XSAVE2 takes */
        uint8_t                *xsave;
        struct kvm_xcrs         xcrs;
        struct kvm_debugregs    debugregs;
        struct kvm_lapic_state  lapic;
        uint32_t                nr_msrs;
        struct kvm_msr_entry   *msrs; /* in the order of KVM_GET_MSR_INDEX_LIST */
        uint32_t                nested_bytes;
        uint8_t                *nested; /* struct kvm_nested_state */
        struct kvm_vcpu_events  events;
};

enum platform_piece {
        PLATFORM_PIC_MASTER,
        PLATFORM_PIC_SLAVE,
        PLATFORM_IOAPIC,
        PLATFORM_PIT,
        PLATFORM_CLOCK,
        PLATFORM_PIECES,
};

struct platform_state {
        uint32_t              have; /* 1 << enum platform_piece; what is missing stays as KVM makes it (PICs: all lines masked) */
        struct kvm_pic_state  pic_master, pic_slave;
        struct kvm_ioapic_state ioapic;
        struct kvm_pit_state2 pit;
        struct kvm_clock_data clock; /* flags 0: the guest's clock goes on where it stood */
};

/* A 16550 as the guest sees it. */
#define SERIAL_RX_MAX 1024
struct serial_state {
        uint8_t  ier, iir, fcr, lcr, mcr, lsr, msr, scr;
        uint16_t divisor;
        bool     thr_pending; /* the transmitter went empty and nobody has read that from IIR yet */
        uint16_t rx_len;
        uint8_t  rx[SERIAL_RX_MAX];
};

enum device_kind {
        DEVICE_SERIAL = 1,
        DEVICE_VIRTIO = 2,
};

struct device_record {
        enum device_kind kind;
        char             id[32]; /* "serial"; of a virtio device, its name where the format has one ("rng0"), else "" */
        union {
                struct serial_state serial;
                struct virtio_state virtio;
        } u;
};

struct vm_state {
        enum machine_kind     machine;
        /* Of the CPU it was saved on, where the format says so: "GenuineIntel". Empty: leaf 0 of the vCPUs' saved CPUID tells. */
        char                  cpu_vendor[CPU_VENDOR_MAX];
        uint32_t              nr_vcpus;
        struct vcpu_state    *vcpus; /* by index; vcpus[i] is KVM vCPU id i */
        struct platform_state platform;
        uint32_t              nr_devices;
        struct device_record *devices;
};

int  vm_state_init(struct vm_state *s, enum machine_kind machine, uint32_t nr_vcpus); /* zeroed vCPUs; 0, -EINVAL, -ENOMEM */
void vm_state_free(struct vm_state *s);
/* Adds a zeroed device record and returns it, or NULL without memory. */
struct device_record       *vm_state_add_device(struct vm_state *s, enum device_kind kind, const char *id);
const struct device_record *vm_state_device(const struct vm_state *s, enum device_kind kind); /* the first one */
/* The virtio device in that slot, or NULL. */
const struct virtio_state  *vm_state_virtio(const struct vm_state *s, uint32_t slot);
/* Byte for byte, padding of kernel structs included. Names the first difference in *ret_what ("vcpu 1 msr 0x10"), at most 80
 * bytes. */
bool vm_state_equal(const struct vm_state *a, const struct vm_state *b, char ret_what[80]);

/* "regs", "xsave", ...: as sections, messages and tables name a piece. */
const char *vcpu_piece_name(enum vcpu_piece p);
const char *platform_piece_name(enum platform_piece p);
