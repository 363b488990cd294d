/* SPDX-License-Identifier: GPL-2.0-or-later */
/* debugcon.c - see debugcon.h.  Peers: SeaBIOS (0x402), Bochs guests (0xe9). */
#include "dev/debugcon.h"

static uint64_t port_read(void *owner, uint64_t off, unsigned size)
{
    return DEBUGCON_PRESENT;
}

static void port_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct debugcon *d = owner;

    d->put(d->owner, (uint8_t)value);
}

void debugcon_init(struct debugcon *d, struct bus *bus, uint16_t port,
                   void (*put)(void *owner, uint8_t byte), void *owner)
{
    static const struct io_ops ops = { port_read, port_write, 1 };

    *d = (struct debugcon){
        .bus = bus, .put = put, .owner = owner,
        .io = { .base = port, .len = 1, .ops = &ops, .owner = d },
    };
    pio_add(bus, &d->io);
}

void debugcon_done(struct debugcon *d)
{
    pio_remove(d->bus, &d->io);
}
