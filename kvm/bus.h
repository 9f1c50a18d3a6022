/* kvm/bus.h: which device answers at a port or an MMIO address.
 * Owns:    its table; the devices behind it are borrowed.
 * Threads: filled by the session thread before any vCPU runs, then read-only; vCPU threads read and write through it at once, so
 *          a device's ops lock for themselves.
 * Blocks:  as long as the device does. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum bus_space { BUS_PORTS, BUS_MMIO };

/* offset counts from the range's first address; offset + len stays inside the range. Called on vCPU threads. */
struct bus_ops {
        void (*read)(void *arg, uint64_t offset, uint8_t *ret_data, uint32_t len_bytes);
        void (*write)(void *arg, uint64_t offset, const uint8_t *data, uint32_t len_bytes);
};

/* One serial port, and the 11 virtio-mmio devices that the microvm's interrupts allow (stratovirt.md 2.1). */
#define BUS_RANGES_MAX 12

struct bus_range {
        enum bus_space        space;
        uint64_t              first, len;
        const struct bus_ops *ops;
        void                 *arg;
};

struct bus {
        size_t           nr;
        struct bus_range ranges[BUS_RANGES_MAX];
};

/* 0, -EEXIST (overlaps a range of the same space), -ENOSPC (table full), -EINVAL (empty, or past the end of the address
 * space). */
int bus_add(struct bus *b, enum bus_space space, uint64_t first, uint64_t len, const struct bus_ops *ops, void *arg);

/* Nobody there: a read gives all ones, as a PC's bus does (so the keyboard controller at 0x64 is absent), a write is ignored. An
 * access that reaches past the end of a device's range counts as nobody's. */
void bus_read(const struct bus *b, enum bus_space space, uint64_t addr, uint8_t *ret_data, uint32_t len_bytes);
void bus_write(const struct bus *b, enum bus_space space, uint64_t addr, const uint8_t *data, uint32_t len_bytes);
