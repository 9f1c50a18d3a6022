/* kvm/machine/machine.h: what a machine kind is: a table of addresses and interrupts, no code that a table can say.
 * Owns:    nothing.
 * Threads: constant.
 * Blocks:  never. */
#pragma once

#include "core/base/units.h"
#include "core/model/mem_layout.h"
#include "core/model/vm_state.h"

struct machine {
        enum machine_kind kind;
        const char       *name;
        gpa_t             ram_below_4g_max; /* 3 GiB: RAM past it goes on at 4 GiB */
        gpa_t             tss_gpa, identity_map_gpa;
        uint16_t          serial_port, serial_irq;
        gpa_t             mmio_first, mmio_end; /* the virtio-mmio window */
        uint32_t          mmio_stride;
        uint32_t          nr_slots;                    /* slot N: mmio_first + N * mmio_stride, interrupt first_irq + N */
        uint32_t          first_irq;
        /* slots 0 to nr_fixed - 1 are always there, of these kinds; the rest are free */
        uint32_t          nr_fixed;
        enum virtio_kind  fixed[8];
};

extern const struct machine machine_microvm;

const struct machine *machine_find(enum machine_kind kind); /* NULL: none */
/* size_bytes: page-aligned, 1 MiB to 512 GiB. */
/* What a guest without ACPI must be told of its devices: " virtio_mmio.device=512@0x..:N" of each slot of the mask (bit N: slot
 * N). Writes at most size bytes with the NUL; returns the length that it would have. */
int machine_cmdline(const struct machine *m, uint32_t slots, char *ret, size_t size);
int machine_layout(const struct machine *m, uint64_t size_bytes, struct mem_layout *ret, struct err *e);
