/* SPDX-License-Identifier: GPL-2.0-or-later */
/* port92.h - system control port A: fast reset, fast A20. */
#pragma once

#include "bus/bus.h"
#include "dev/board.h"

struct port92 {
    struct bus *bus;
    struct board board;
    uint8_t value;
    struct io_range io;
};
extern const struct device_ops port92_device;

void port92_init(struct port92 *p, struct bus *bus, struct board board);
void port92_done(struct port92 *p);
