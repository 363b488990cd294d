/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mmio.h - the memory bus outside RAM: guest-physical ranges that belong to chips. */
#pragma once

#include "bus/io.h"

#define MMIO_RANGES_MAX 64

/* What lies in [from, last] belongs to one range; sorted, without overlap. */
struct mmio_piece {
    uint64_t from, last;
    struct io_range *range;
};

struct mmio {
    struct io_range *range[MMIO_RANGES_MAX];
    unsigned n;
    struct mmio_piece piece[2 * MMIO_RANGES_MAX];
    unsigned n_pieces;
    unsigned hit; /* the piece of the last access */
};

struct bus;

/* A guest's access; 'size' is 1 .. 8.  Any thread, takes the bus lock. */
uint64_t mmio_read(struct bus *b, uint64_t gpa, unsigned size);
void mmio_write(struct bus *b, uint64_t gpa, unsigned size, uint64_t value);

/* Bus lock held, or before the machine runs.  As pio_add() and pio_remove(). */
void mmio_add(struct bus *b, struct io_range *r);
void mmio_remove(struct bus *b, struct io_range *r);
