/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uart16550.h - a serial port with 16-byte FIFOs. */
#pragma once

#include "bus/bus.h"

#define UART_FIFO 16

/* What is plugged in.  Called under the bus lock, from any thread: be quick, do not call back. */
struct serial_port_ops {
    void (*put)(void *owner, uint8_t byte); /* the guest sent it */
    void (*room)(void *owner);              /* receive() would take bytes again; or NULL */
};

struct uart16550 {
    struct bus *bus;
    struct irq_line irq;
    const struct serial_port_ops *ops; /* NULL: nothing is plugged in */
    void *owner;

    uint8_t ier, fcr, lcr, mcr, scratch;
    uint8_t errors;       /* LSR bits 1 .. 4 */
    uint8_t msr;          /* as last seen, with changes in bits 0 .. 3 */
    uint8_t thr_empty;    /* interrupt pending */
    uint16_t divisor;
    uint8_t fifo[UART_FIFO];
    uint8_t fifo_first, fifo_n;
    uint8_t refused;      /* receive() took less than all: room() is owed */
    uint64_t quiet_since; /* ns: last byte in or out of the receiver */
    struct bus_timer timer; /* receiver timeout */
    struct io_range io;
};
extern const struct device_ops uart16550_device;

void uart16550_init(struct uart16550 *u, struct bus *bus, uint16_t base, struct irq_line irq,
                    const struct serial_port_ops *ops, void *owner);
void uart16550_done(struct uart16550 *u);

/* Bytes for the guest; returns how many it took.  The sender keeps to the flow control of the
 * cable: nothing is taken before the guest asserts RTS, and what is taken is never overrun.
 * Bus lock held. */
size_t uart16550_receive(struct uart16550 *u, const void *bytes, size_t n);
