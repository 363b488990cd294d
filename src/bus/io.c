/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io.c - see io.h: accesses that do not fit a chip are cut into pieces that do. */
#include "bus/io.h"

/* Read what lies at 'at' out of the smallest enclosing word that 'r' takes.
 * Returns how many bytes that gave: 1 at least. */
static unsigned read_narrow(const struct io_range *r, uint64_t at, unsigned left, uint64_t *ret)
{
    for (unsigned s = 2; s <= 8; s <<= 1) {
        uint64_t from = ALIGN_DOWN(at, s);
        if (!(r->ops->sizes & s) || from < r->base || !range_ok(from - r->base, s, r->len))
            continue;
        unsigned skip = (unsigned)(at - from), n = MIN(left, s - skip);
        *ret = r->ops->read(r->owner, from - r->base, s) >> (8 * skip) & io_ones(n);
        return n;
    }
    *ret = 0xff;
    return 1;
}

uint64_t io_read_pieces(io_find_fn *find, void *map, uint64_t at, unsigned size)
{
    uint64_t value = 0;

    for (unsigned done = 0, n; done < size; done += n) {
        const struct io_range *r = find(map, at + done);
        uint64_t v = 0xff;

        n = r ? io_piece(r, at + done, size - done) : 1;
        if (r && n)
            v = r->ops->read(r->owner, at + done - r->base, n) & io_ones(n);
        else if (r)
            n = read_narrow(r, at + done, size - done, &v);
        value |= v << (8 * done);
    }
    return value;
}

void io_write_pieces(io_find_fn *find, void *map, uint64_t at, unsigned size, uint64_t value)
{
    for (unsigned done = 0, n; done < size; done += n) {
        /* Looked up anew each time: a write may move ranges. */
        const struct io_range *r = find(map, at + done);

        n = r ? io_piece(r, at + done, size - done) : 0;
        if (n)
            r->ops->write(r->owner, at + done - r->base, n, value >> (8 * done) & io_ones(n));
        else
            n = 1;
    }
}
