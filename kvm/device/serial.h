/* kvm/device/serial.h: a 16550 UART: what the guest reads and writes in its eight registers, and the wires at its other end.
 * Owns:    its registers and receive queue.
 * Threads: any; it has locks of its own. The ops are called with one of them held: they must not call back into the port.
 * Blocks:  a register write blocks as long as ops->put does; everything else never, also while a put blocks. */
#pragma once

#include "core/model/vm_state.h"

#include <stdbool.h>

#define SERIAL_REGISTERS 8

struct serial_ops {
        /* The interrupt line went up or down. Serialised. */
        void (*set_irq)(void *arg, bool level);
        /* A byte left the transmitter. Serialised; may block. */
        void (*put)(void *arg, uint8_t byte);
};

struct serial;

int  serial_new(const struct serial_ops *ops, void *arg, struct serial **ret); /* as after power-on; 0 or -errno */
void serial_free(struct serial *s);                                            /* accepts NULL */

uint8_t serial_read(struct serial *s, unsigned int reg); /* reg: 0 to 7 */
void    serial_write(struct serial *s, unsigned int reg, uint8_t value);

/* Bytes from outside: how many the receiver had room for (16 with its FIFO on, 1 without, none while it loops back). */
size_t serial_receive(struct serial *s, const uint8_t *bytes, size_t len);

void serial_save(struct serial *s, struct serial_state *ret); /* any thread; whole only while no vCPU runs */
/* rx_len at most SERIAL_RX_MAX: what a foreign VMM's deeper FIFO held is kept and drained. Bits that no 16550 has are dropped.
 * The interrupt line is set as the state asks. */
void serial_load(struct serial *s, const struct serial_state *st);
