/* kvm/boot/map.h: where the boot structures lie below 1 MiB (stratovirt.md 2.6), and who writes them.
 * Owns:    nothing.
 * Threads: session thread.
 * Blocks:  no.
 *
 *   0x500 GDT, IDT | 0x6000 PVH start info | 0x7000 zero page | 0x8ff0 stack, down | 0x9000 page tables | 0x20000 command line |
 *   0x9fc00 MP table | 0xa0000
 */
#pragma once

#include "kvm/boot/image.h"

#define MAP_GDT         0x500ULL
#define MAP_IDT         0x520ULL
#define MAP_PVH_INFO    0x6000ULL
#define MAP_ZERO_PAGE   0x7000ULL
#define MAP_STACK       0x8ff0ULL
#define MAP_PML4        0x9000ULL
#define MAP_PDPT        0xa000ULL
#define MAP_PD          0xb000ULL
#define MAP_CMDLINE     0x20000ULL
#define MAP_CMDLINE_MAX 0x10000ULL /* with the NUL */
#define MAP_EBDA        0x9fc00ULL
#define MAP_EBDA_END    0xa0000ULL
#define MAP_BIOS        0xd0000ULL
#define MAP_BIOS_END    0x100000ULL

#define GDT_CODE 0x10
#define GDT_DATA 0x18

/* RAM and what is not, as both protocols number them: 1 RAM, 2 reserved (E820_TYPE_*, XEN_HVM_MEMMAP_TYPE_*). */
#define MAP_RAM      1
#define MAP_RESERVED 2
#define MAP_RANGES_MAX (3 + MEM_WINDOWS_MAX)
struct map_range {
        gpa_t    gpa;
        uint64_t size_bytes;
        uint32_t type;
};
/* The map of this RAM: low memory with what is reserved in it, then each window from 1 MiB on. Returns how many. */
size_t map_ranges(const struct mem_layout *l, struct map_range ret[MAP_RANGES_MAX]);

/* What boot.c has put into RAM beside the kernel. */
struct boot_extras {
        gpa_t    initrd;
        uint64_t initrd_bytes; /* 0: none */
};

/* RAM below 1 MiB is there: machine_layout gives no less, and boot_load checks it. */
void linux64_write(const struct mem_layout *l, const struct boot_image *image, const struct boot_extras *x);
void pvh_write(const struct mem_layout *l, const struct boot_extras *x);
void mptable_write(const struct mem_layout *l, uint32_t nr_vcpus);

struct kvm_regs;
struct kvm_sregs;
/* The registers of vCPU 0 at its entry; sregs as KVM reset them. */
void linux64_set_regs(const struct boot_entry *b, struct kvm_sregs *sregs, struct kvm_regs *ret);
void pvh_set_regs(const struct boot_entry *b, struct kvm_sregs *sregs, struct kvm_regs *ret);
