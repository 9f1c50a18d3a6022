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
};

extern const struct machine machine_microvm;

const struct machine *machine_find(enum machine_kind kind); /* NULL: none */
/* size_bytes: page-aligned, 1 MiB to 512 GiB. */
int machine_layout(const struct machine *m, uint64_t size_bytes, struct mem_layout *ret, struct err *e);
