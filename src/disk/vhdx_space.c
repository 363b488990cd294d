/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx_space.c - which bytes of a VHDX file are used, and handing out what is free.
 *
 * Space comes from holes that were zeroed, else from the end, where the file is extended in steps
 * (invariant 1 of vhdx.h). */
#include "disk/vhdx.h"

#include <errno.h>

#define GROW_MIN (16 * MIB)
#define GROW_MAX (256 * MIB)

int vhdx_extents_add(struct vhdx_extents *x, uint64_t off, uint64_t len)
{
    if (x->n == x->room) {
        size_t room = MAX(x->room * 2, 32u);
        struct vhdx_extent *e = realloc(x->e, room * sizeof *e);
        if (!e)
            return -ENOMEM;
        x->e = e;
        x->room = room;
    }
    x->e[x->n++] = (struct vhdx_extent){ off, len };
    return 0;
}

static int by_off(const void *a, const void *b)
{
    const struct vhdx_extent *x = a, *y = b;

    return x->off < y->off ? -1 : x->off > y->off;
}

/* Everything that something owns. */
static int collect_used(struct vhdx *v, struct vhdx_extents *u)
{
    int r = vhdx_extents_add(u, 0, VHDX_FIRST_BLOCK);

    if (r == 0 && v->hdr.log_len)
        r = vhdx_extents_add(u, v->hdr.log_off, v->hdr.log_len);
    if (r == 0)
        r = vhdx_extents_add(u, v->regions.bat.off, v->regions.bat.len);
    if (r == 0)
        r = vhdx_extents_add(u, v->regions.meta.off, v->regions.meta.len);
    for (unsigned i = 0; i < v->regions.n_other && r == 0; i++)
        r = vhdx_extents_add(u, v->regions.other[i].off, v->regions.other[i].len);
    for (uint64_t i = 0; i < v->geo.n_bat && r == 0; i++) {
        uint64_t e = v->bat[i], ratio = UINT64_C(1) << v->geo.ratio_shift;
        bool bitmap = i % (ratio + 1) == ratio;
        if (e & VHDX_BAT_OFFSET)
            r = vhdx_extents_add(u, e & VHDX_BAT_OFFSET,
                                 bitmap ? VHDX_BITMAP_BLOCK : v->params.block_size);
    }
    return r;
}

int vhdx_space_scan(struct vhdx *v, const struct vhdx_finding *f, struct err *err)
{
    struct vhdx_extents u = { 0 };
    uint64_t end = 0;
    int r = collect_used(v, &u);

    v->holes.n = 0;
    if (r == 0)
        qsort(u.e, u.n, sizeof *u.e, by_off);
    for (size_t i = 0; i < u.n && r == 0; i++) {
        if (u.e[i].off < end) {
            char text[120];
            snprintf(text, sizeof text, "two blocks or regions share the bytes at %#llx",
                     (unsigned long long)u.e[i].off);
            if (f)
                f->say(f->ctx, UINT64_MAX, text);
            else
                r = err_set(err, EILSEQ, "%s (see 'verdin disk check')", text);
        } else if (u.e[i].off > end) {
            r = vhdx_extents_add(&v->holes, end, u.e[i].off - end);
        }
        end = MAX(end, u.e[i].off + u.e[i].len);
    }
    free(u.e);
    if (r == -ENOMEM)
        return err_set(err, ENOMEM, "no memory for the map of the file");
    v->end = ALIGN_UP(end, VHDX_MIB);
    return r;
}

/* ---- handing out ----------------------------------------------------------------------------- */

static void grow_done(struct disk_rq *rq, int err)
{
    container_of(rq, struct vhdx, grow)->growing = false; /* a commit tries again, and tells */
}

static void grow(struct vhdx *v)
{
    uint64_t step = MIN(MAX(v->end / 8, GROW_MIN), GROW_MAX);

    if (v->growing)
        return;
    v->growing = true;
    v->grow = (struct disk_rq){ .op = DISK_TRUNCATE, .off = ALIGN_UP(v->end + step, VHDX_MIB),
                                .done = grow_done };
    disk_submit(v->file, &v->grow);
}

int vhdx_alloc(struct vhdx *v, uint64_t len, uint64_t *ret)
{
    for (size_t i = v->free.n, tries = 0; i-- > 0 && tries < 64; tries++) {
        struct vhdx_extent *e = &v->free.e[i];
        if (e->len < len)
            continue;
        *ret = e->off;
        e->off += len;
        e->len -= len;
        if (!e->len)
            *e = v->free.e[--v->free.n];
        return 0;
    }
    if (v->end + len > VHDX_FILE_MAX)
        return -ENOSPC;
    *ret = v->end;
    v->end += len;
    if (v->end > v->file->size)
        grow(v);
    return 0;
}

void vhdx_free_block(struct vhdx *v, uint64_t off, uint64_t len)
{
    /* Without memory it stays lost until the next open: a leak, not damage. */
    if (vhdx_extents_add(&v->freed, off, len) < 0)
        return;
}
