/* SPDX-License-Identifier: GPL-2.0-or-later */
/* port80.c - ports 0x80 .. 0x8f: bytes that read back what was written.
 *
 * Spec:   IBM PC/AT Technical Reference (page registers; 0x80 is the spare one that power-on self
 *         tests write their progress to, and kernels to pass some time).
 * Not:    DMA: the pages lead nowhere.
 * Called: by its ports on VP threads. */
#include "dev/port80.h"

#include "base/trace.h"

static uint64_t port_read(void *owner, uint64_t off, unsigned size)
{
    const struct port80 *p = owner;

    return p->latch[off];
}

static void port_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct port80 *p = owner;

    if (off == 0)
        TRACE("dev", "post_code", "%#04x", (unsigned)value);
    p->latch[off] = (uint8_t)value;
}

static void reset(void *chip)
{
    struct port80 *p = chip;

    memset(p->latch, 0, sizeof p->latch);
}

static const struct state_field fields[] = { STATE(struct port80, latch) };
static const struct state_desc state = STATE_DESC("port80", 1, fields);
const struct device_ops port80_device = { .state = &state, .reset = reset };

void port80_init(struct port80 *p, struct bus *bus)
{
    static const struct io_ops ops = { port_read, port_write, 1 };

    *p = (struct port80){
        .bus = bus,
        .io = { .base = 0x80, .len = PORT80_LATCHES, .ops = &ops, .owner = p },
    };
    pio_add(bus, &p->io);
}

void port80_done(struct port80 *p)
{
    pio_remove(p->bus, &p->io);
}
