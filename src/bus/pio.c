/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pio.c - see pio.h. */
#include "bus/pio.h"

#include <assert.h>

#include "base/trace.h"
#include "bus/bus.h"

static struct io_range *find(void *map, uint64_t at)
{
    const struct pio *p = map;
    uint8_t i = p->owner[at & (PIO_PORTS - 1)];

    return i ? p->range[i - 1] : NULL;
}

uint32_t pio_read(struct bus *b, uint16_t port, unsigned size)
{
    uint32_t v;

    bus_lock(b);
    struct io_range *r = find(&b->pio, port);
    if (likely(r && io_piece(r, port, size) == size))
        v = (uint32_t)(r->ops->read(r->owner, port - r->base, size) & io_ones(size));
    else
        v = (uint32_t)io_read_pieces(find, &b->pio, port, size);
    bus_unlock(b);
    TRACE("bus", "pio_read", "port %#x size %u value %#x%s", port, size, v, r ? "" : " nobody");
    return v;
}

void pio_write(struct bus *b, uint16_t port, unsigned size, uint32_t value)
{
    bus_lock(b);
    struct io_range *r = find(&b->pio, port);
    TRACE("bus", "pio_write", "port %#x size %u value %#x%s", port, size, value,
          r ? "" : " nobody");
    if (likely(r && io_piece(r, port, size) == size))
        r->ops->write(r->owner, port - r->base, size, value & io_ones(size));
    else
        io_write_pieces(find, &b->pio, port, size, value);
    bus_unlock(b);
}

/* Paint all ranges anew, the strongest last. */
static void rebuild(struct pio *p)
{
    memset(p->owner, 0, sizeof p->owner);
    for (int rank = IO_BAR; rank >= IO_INSET; rank--) {
        for (unsigned i = p->n; i-- > 0;) {
            const struct io_range *r = p->range[i];
            if ((int)r->rank == rank && r->base < PIO_PORTS)
                memset(p->owner + r->base, (int)(i + 1), MIN(r->len, PIO_PORTS - r->base));
        }
    }
}

void pio_add(struct bus *b, struct io_range *r)
{
    struct pio *p = &b->pio;

    assert(!r->on && p->n < PIO_RANGES_MAX && r->len && r->ops->read && r->ops->write);
    r->on = true;
    p->range[p->n++] = r;
    rebuild(p);
}

void pio_remove(struct bus *b, struct io_range *r)
{
    struct pio *p = &b->pio;
    unsigned i = 0;

    if (!r->on)
        return;
    r->on = false;
    while (p->range[i] != r)
        i++;
    p->n--;
    for (; i < p->n; i++)
        p->range[i] = p->range[i + 1];
    rebuild(p);
}
