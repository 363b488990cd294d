/* SPDX-License-Identifier: GPL-2.0-or-later */
/* port80.h - ports 0x80 .. 0x8f: the latch for power-on codes and the DMA page registers. */
#pragma once

#include "bus/bus.h"

#define PORT80_LATCHES 16

struct port80 {
    struct bus *bus;
    uint8_t latch[PORT80_LATCHES];
    struct io_range io;
};
extern const struct device_ops port80_device;

void port80_init(struct port80 *p, struct bus *bus);
void port80_done(struct port80 *p);
