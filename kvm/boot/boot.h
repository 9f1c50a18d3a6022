/* kvm/boot/boot.h: puts a kernel into guest RAM and says where it begins.
 * Owns:    nothing.
 * Threads: session thread, before vm_start.
 * Blocks:  reads the files. */
#pragma once

#include "core/base/err.h"
#include "core/model/mem_layout.h"
#include "core/model/vm_state.h"

struct boot_config {
        const char *kernel;  /* flat 64-bit image (entered at 16 MiB), ELF with a PVH note or a 64-bit entry, or bzImage */
        const char *initrd;  /* or NULL */
        const char *cmdline; /* or "" */
        uint32_t    nr_vcpus;
};

enum boot_protocol {
        BOOT_LINUX64, /* long mode, %rsi = zero page */
        BOOT_PVH,     /* 32-bit protected mode, %ebx = hvm_start_info */
};

struct boot_entry {
        enum boot_protocol protocol;
        gpa_t              rip;
        gpa_t              info; /* zero page or hvm_start_info */
};

/* Loads kernel, initrd, command line, zero page, MP table, boot page tables (stratovirt.md 2.6). Everything is bounds-checked. */
int boot_load(const struct boot_config *c, const struct mem_layout *l, struct boot_entry *ret, struct err *e);

struct vm;
/* Sets CPUID of every vCPU and the registers of vCPU 0; the others wait for INIT and SIPI. */
int boot_set_vcpus(struct vm *vm, const struct boot_entry *b, struct err *e);
