/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i8042.h - the keyboard controller, with a keyboard and nothing on its second (mouse) port. */
#pragma once

#include "bus/bus.h"
#include "dev/board.h"
#include "dev/ps2_keyboard.h"

struct i8042 {
    struct bus *bus;
    struct irq_line irq_keyboard, irq_aux;
    struct board board;
    uint8_t status;   /* without bits that follow from the rest */
    uint8_t mode;     /* the command byte */
    uint8_t command;  /* waits for its byte at port 0x60; 0: none */
    uint8_t outport;
    uint8_t out, out_flags; /* output buffer; STATUS_ bits: full, aux, timeout */
    uint8_t reply, reply_flags; /* goes to the output buffer next */
    uint8_t released; /* translation has seen 0xf0 */
    uint8_t ram[32];
    struct ps2_keyboard keyboard;
    struct io_range data_io, command_io;
};
extern const struct device_ops i8042_device;

void i8042_init(struct i8042 *c, struct bus *bus, struct irq_line irq_keyboard,
                struct irq_line irq_aux, struct board board);
void i8042_done(struct i8042 *c);

/* Keys as set 1 scan codes; returns how many bytes the keyboard took.  Bus lock held. */
size_t i8042_type(struct i8042 *c, const uint8_t *set1, size_t n);
