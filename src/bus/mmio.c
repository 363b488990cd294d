/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mmio.c - see mmio.h.
 *
 * Ranges may overlap; each change makes a flat list of pieces, so that a look-up is the last hit
 * or a binary search. */
#include "bus/mmio.h"

#include <assert.h>

#include "base/trace.h"
#include "bus/bus.h"

static bool covers(const struct mmio_piece *p, uint64_t at)
{
    return at >= p->from && at <= p->last;
}

static struct io_range *find(void *map, uint64_t at)
{
    struct mmio *m = map;

    if (m->hit < m->n_pieces && covers(&m->piece[m->hit], at))
        return m->piece[m->hit].range;
    unsigned lo = 0, hi = m->n_pieces;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (at > m->piece[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == m->n_pieces || !covers(&m->piece[lo], at))
        return NULL;
    m->hit = lo;
    return m->piece[lo].range;
}

uint64_t mmio_read(struct bus *b, uint64_t gpa, unsigned size)
{
    uint64_t v;

    bus_lock(b);
    struct io_range *r = find(&b->mmio, gpa);
    if (likely(r && io_piece(r, gpa, size) == size))
        v = r->ops->read(r->owner, gpa - r->base, size) & io_ones(size);
    else
        v = io_read_pieces(find, &b->mmio, gpa, size);
    bus_unlock(b);
    TRACE("bus", "mmio_read", "gpa %#llx size %u value %#llx%s", (unsigned long long)gpa, size,
          (unsigned long long)v, r ? "" : " nobody");
    return v;
}

void mmio_write(struct bus *b, uint64_t gpa, unsigned size, uint64_t value)
{
    bus_lock(b);
    struct io_range *r = find(&b->mmio, gpa);
    TRACE("bus", "mmio_write", "gpa %#llx size %u value %#llx%s", (unsigned long long)gpa, size,
          (unsigned long long)value, r ? "" : " nobody");
    if (likely(r && io_piece(r, gpa, size) == size))
        r->ops->write(r->owner, gpa - r->base, size, value & io_ones(size));
    else
        io_write_pieces(find, &b->mmio, gpa, size, value);
    bus_unlock(b);
}

static uint64_t last_of(const struct io_range *r)
{
    return r->len - 1 > UINT64_MAX - r->base ? UINT64_MAX : r->base + (r->len - 1);
}

/* Who has the byte 'at'? */
static struct io_range *strongest(const struct mmio *m, uint64_t at)
{
    struct io_range *best = NULL;

    for (unsigned i = 0; i < m->n; i++) {
        struct io_range *r = m->range[i];
        if (at >= r->base && at <= last_of(r) && (!best || r->rank < best->rank))
            best = r;
    }
    return best;
}

/* Where does the owner change next at or after 'at'?  UINT64_MAX: never. */
static uint64_t next_border(const struct mmio *m, uint64_t at)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < m->n; i++) {
        const struct io_range *r = m->range[i];
        if (r->base > at)
            next = MIN(next, r->base - 1);
        if (last_of(r) >= at)
            next = MIN(next, last_of(r));
    }
    return next;
}

static void rebuild(struct mmio *m)
{
    uint64_t at = 0;

    m->hit = 0;
    m->n_pieces = 0;
    for (;;) {
        uint64_t last = next_border(m, at);
        struct io_range *r = strongest(m, at);
        struct mmio_piece *p = m->n_pieces ? &m->piece[m->n_pieces - 1] : NULL;

        if (r && p && p->range == r && p->last + 1 == at)
            p->last = last;
        else if (r)
            m->piece[m->n_pieces++] = (struct mmio_piece){ at, last, r };
        if (last == UINT64_MAX)
            break;
        at = last + 1;
    }
}

void mmio_add(struct bus *b, struct io_range *r)
{
    struct mmio *m = &b->mmio;

    assert(!r->on && m->n < MMIO_RANGES_MAX && r->len && r->ops->read && r->ops->write);
    r->on = true;
    m->range[m->n++] = r;
    rebuild(m);
}

void mmio_remove(struct bus *b, struct io_range *r)
{
    struct mmio *m = &b->mmio;
    unsigned i = 0;

    if (!r->on)
        return;
    r->on = false;
    while (m->range[i] != r)
        i++;
    m->n--;
    for (; i < m->n; i++)
        m->range[i] = m->range[i + 1];
    rebuild(m);
}
