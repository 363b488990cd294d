/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pio.h - the port bus: 64 Ki ports, each with at most one owner, found by one indexed load. */
#pragma once

#include "bus/io.h"

#define PIO_PORTS      0x10000
#define PIO_RANGES_MAX 255

struct pio {
    uint8_t owner[PIO_PORTS]; /* 0: nobody, else 1 + index into 'range' */
    struct io_range *range[PIO_RANGES_MAX];
    unsigned n;
};

struct bus;

/* A guest's access; 'size' is 1, 2 or 4.  Any thread, takes the bus lock.  A 4-byte access that
 * begins at a range which takes it belongs to it whole, whoever has its other bytes: so 0xcf9 can
 * be the reset register inside the configuration address register at 0xcf8. */
uint32_t pio_read(struct bus *b, uint16_t port, unsigned size);
void pio_write(struct bus *b, uint16_t port, unsigned size, uint32_t value);

/* Bus lock held, or before the machine runs.  At most PIO_RANGES_MAX ranges (asserted: only the
 * board adds them, a guest cannot).  Removing a range that is not on does nothing. */
void pio_add(struct bus *b, struct io_range *r);
void pio_remove(struct bus *b, struct io_range *r);
