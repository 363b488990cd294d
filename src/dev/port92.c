/* SPDX-License-Identifier: GPL-2.0-or-later */
/* port92.c - system control port A at 0x92.
 *
 * Spec:   82371AB (PIIX4) 4.1.10, port 92.
 * Models: reset at the rising edge of bit 0; bit 1 (A20) is remembered, the gate always open.
 * Called: by its port on VP threads. */
#include "dev/port92.h"

#define FAST_RESET 0x01
#define FAST_A20   0x02

static uint64_t port_read(void *owner, uint64_t off, unsigned size)
{
    const struct port92 *p = owner;

    return p->value;
}

static void port_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct port92 *p = owner;
    bool rises = (value & ~p->value) & FAST_RESET;

    p->value = value & (FAST_RESET | FAST_A20);
    if (rises)
        p->board.ops->reset(p->board.owner, "port 0x92");
}

static void reset(void *chip)
{
    struct port92 *p = chip;

    p->value = FAST_A20;
}

static bool check(void *chip)
{
    const struct port92 *p = chip;

    return !(p->value & ~(FAST_RESET | FAST_A20));
}

static const struct state_field fields[] = { STATE(struct port92, value) };
static const struct state_desc state = {
    .name = "port92", .version = 1, .fields = fields, .n_fields = ARRAY_LEN(fields),
    .check = check,
};
const struct device_ops port92_device = { .state = &state, .reset = reset };

void port92_init(struct port92 *p, struct bus *bus, struct board board)
{
    static const struct io_ops ops = { port_read, port_write, 1 };

    *p = (struct port92){
        .bus = bus, .board = board,
        .io = { .base = 0x92, .len = 1, .ops = &ops, .owner = p },
    };
    pio_add(bus, &p->io);
    reset(p);
}

void port92_done(struct port92 *p)
{
    pio_remove(p->bus, &p->io);
}
