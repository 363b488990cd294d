/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i8254.h - the interval timer and the system control port at 0x61 that is tied to it. */
#pragma once

#include "bus/bus.h"

#define I8254_HZ 1193182u

struct i8254_channel {
    uint64_t start;      /* tick (1/I8254_HZ s of machine time) at which counting began */
    uint64_t frozen;     /* elapsed ticks while the gate holds the counter */
    uint32_t count;      /* 1 .. 0x10000 */
    uint16_t latch;
    uint8_t write_low;   /* first half of a 16-bit write */
    uint8_t status;      /* latched */
    uint8_t mode;        /* 0 .. 5 */
    uint8_t access;      /* 1 low, 2 high, 3 low then high */
    uint8_t bcd, gate;
    uint8_t running;     /* a count was loaded, and what the mode waits for has come */
    uint8_t null_count;  /* a count is still awaited */
    uint8_t high_next_write, high_next_read;
    uint8_t latched;     /* bytes of 'latch' still to be read */
    uint8_t status_latched;
    uint8_t pad;
};

struct i8254 {
    struct bus *bus;
    struct irq_line out0;
    struct i8254_channel channel[3];
    uint8_t port61; /* writable bits */
    uint8_t line;   /* what out0 was told last */
    struct bus_timer timer; /* next edge of channel 0 */
    struct io_range io, io61;
};
extern const struct device_ops i8254_device;

void i8254_init(struct i8254 *p, struct bus *bus, struct irq_line out0);
void i8254_done(struct i8254 *p);
