/* SPDX-License-Identifier: GPL-2.0-or-later */
/* testdev.h - what test guests expect of a machine: an exit port, scratch registers, IRQ lines.
 *
 * Only machines that were asked for it have one: a guest can end the machine here. */
#pragma once

#include "bus/bus.h"
#include "dev/board.h"

#define TESTDEV_MEMORY 0x10000

struct testdev {
    struct bus *bus;
    struct board board;
    struct isa_irqs *irqs;
    uint32_t scratch;
    uint16_t irq_level;
    uint8_t memory[TESTDEV_MEMORY];
    struct io_range exit_io, scratch_io, bytes_io, page_io, irq_io, memory_io;
};
extern const struct device_ops testdev_device;

void testdev_init(struct testdev *d, struct bus *bus, struct isa_irqs *irqs, struct board board);
void testdev_done(struct testdev *d);
