/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioapic.h - the I/O interrupt controller: 24 pins, each turned into a message. */
#pragma once

#include "bus/bus.h"

#define IOAPIC_N_PINS 24

struct ioapic {
    struct bus *bus;
    struct msi_sink out;
    uint32_t select, id;
    uint32_t level;                 /* of the pins */
    uint64_t entry[IOAPIC_N_PINS];  /* redirection table */
    struct io_range io;
};
extern const struct device_ops ioapic_device;

void ioapic_init(struct ioapic *a, struct bus *bus, uint64_t gpa, struct msi_sink out);
void ioapic_done(struct ioapic *a);

struct irq_line ioapic_pins(struct ioapic *a); /* pin 0; n up to 23 */

/* A processor finished a level-triggered 'vector'.  Bus lock held. */
void ioapic_eoi(struct ioapic *a, uint8_t vector);
