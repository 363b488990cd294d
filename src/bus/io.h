/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io.h - what a chip says about its registers to the port and the memory bus.
 *
 * The chip names the access sizes that it takes; the bus cuts or widens every access of a guest to
 * these, so that a handler sees only naturally aligned accesses that lie inside its range.  A read
 * narrower than any size taken is cut out of the enclosing word; such a write is dropped, as is
 * what nobody claims (reads: all ones). */
#pragma once

#include "base/util.h"

struct io_ops {
    /* 'off' counts from the range's base.  Called with the bus lock held (bus.h). */
    uint64_t (*read)(void *owner, uint64_t off, unsigned size);
    void (*write)(void *owner, uint64_t off, unsigned size, uint64_t value);
    uint8_t sizes; /* OR of 1, 2, 4, 8 (ports: up to 4) */
};

/* Where ranges overlap the lower rank has it, and the older one of equal rank. */
enum io_rank {
    IO_INSET = -1, /* a register inside a wider one that has another owner */
    IO_FIXED, /* soldered to the board */
    IO_BAR,   /* wherever the guest put it */
};

/* Lives in the chip; set up by the chip, then the bus's from _add() to _remove(). */
struct io_range {
    uint64_t base, len;
    const struct io_ops *ops;
    void *owner;
    enum io_rank rank;
    bool on; /* the bus's */
};

/* The largest access at 'at', up to 'left' bytes, that 'r' takes in one piece; 0: none. */
static inline unsigned io_piece(const struct io_range *r, uint64_t at, unsigned left)
{
    for (unsigned s = 8; s; s >>= 1)
        if (s <= left && (r->ops->sizes & s) && !(at & (s - 1)) &&
            range_ok(at - r->base, s, r->len))
            return s;
    return 0;
}

static inline uint64_t io_ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
}

/* Finds who has the byte 'at', or NULL. */
typedef struct io_range *io_find_fn(void *map, uint64_t at);

/* An access of any size up to 8 at any place, cut to what the ranges take. */
uint64_t io_read_pieces(io_find_fn *find, void *map, uint64_t at, unsigned size);
void io_write_pieces(io_find_fn *find, void *map, uint64_t at, unsigned size, uint64_t value);
