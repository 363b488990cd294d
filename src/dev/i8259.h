/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i8259.h - the PC's pair of interrupt controllers, with the ELCR of PIIX chips. */
#pragma once

#include "bus/bus.h"

#define I8259_PINS 16

struct i8259_half {
    uint8_t irr, isr, imr;
    uint8_t level;      /* of the inputs */
    uint8_t elcr;       /* 1: level triggered */
    uint8_t lowest;     /* the pin with the lowest priority */
    uint8_t base;       /* vector of pin 0 */
    uint8_t icw;        /* the initialisation word that comes next, 2 .. 4; 0: ready */
    uint8_t icw4;       /* it will come */
    uint8_t single, read_isr, poll, special_mask, auto_eoi, auto_rotate, nested; /* 0 or 1 */
};

struct i8259 {
    struct bus *bus;
    struct irq_line intr;
    uint16_t elcr_at_reset;
    uint8_t out; /* the master's INT */
    struct i8259_half half[2]; /* master, slave */
    struct io_range io[3]; /* master, slave, ELCR */
};
extern const struct device_ops i8259_device;

/* 'intr' goes to the processor.  'elcr_at_reset': the pins that firmware would make level. */
void i8259_init(struct i8259 *p, struct bus *bus, struct irq_line intr, uint16_t elcr_at_reset);
void i8259_done(struct i8259 *p);

struct irq_line i8259_pins(struct i8259 *p); /* pin 0; n up to 15 */

/* The processor takes the interrupt: its vector, or negative: it has gone away.  Bus lock held. */
int i8259_ack(struct i8259 *p);
