/* SPDX-License-Identifier: GPL-2.0-or-later */
/* compact.c - giving back blocks without content and closing the holes of a file.
 *
 * First blocks that are all zero (or, in a child, as the parent) lose their place; then the last
 * blocks move into the holes: copy, flush, table, flush, and only the next round uses the place
 * that they left.  What a guest reads never changes, so a VHDX keeps its DataWriteGuid.  A round
 * of VHDX ends with an empty log: no replay can write into space that has a new owner. */
#include <errno.h>

#include "disk/guid.h"
#include "disk/job.h"
#include "disk/vhd.h"
#include "disk/vhdx.h"

#define MOVES_A_ROUND 256
#define STEP          MIB

static int failed(struct err *err, int r)
{
    return r < 0 ? err_errno(err, -r, "the file could not be compacted") : 0;
}

/* Can [off, off + len) lose its place?  1: zeros; 2: as the parent; 0: no. */
static int judge(struct disk *d, struct disk *parent, uint64_t off, uint64_t len, uint8_t *a,
                 uint8_t *b)
{
    bool zero = true, same = parent != NULL;

    for (uint64_t at = 0; at < len && (zero || same); at += STEP) {
        uint64_t n = MIN(STEP, len - at), have = 0;
        int r = disk_read_sync(d, off + at, a, n);
        if (r < 0)
            return r;
        zero = zero && is_zero(a, n);
        if (!same)
            continue;
        if (off + at < parent->size)
            have = MIN(n, parent->size - off - at);
        memset(b + have, 0, n - have);
        if (have && (r = disk_read_sync(parent, off + at, b, have)) < 0)
            return r;
        same = memcmp(a, b, n) == 0;
    }
    return same ? 2 : zero ? 1 : 0;
}

static int copy_bytes(struct disk *file, uint64_t from, uint64_t to, uint64_t len, uint8_t *buf)
{
    int r = 0;

    for (uint64_t at = 0; at < len && r == 0; at += STEP) {
        uint64_t n = MIN(STEP, len - at);
        r = disk_read_sync(file, from + at, buf, n);
        if (r == 0)
            r = disk_write_sync(file, to + at, buf, n);
    }
    return r;
}

struct place {
    uint64_t off, len, index; /* of the table */
};

static int falling(const void *x, const void *y)
{
    const struct place *a = x, *b = y;

    return a->off < b->off ? 1 : a->off > b->off ? -1 : 0;
}

/* ---- VHDX ------------------------------------------------------------------------------------ */

static int free_vhdx(struct vhdx *x, const struct disk_job *job, struct disk_compacted *c,
                     uint8_t *a, uint8_t *b, struct err *err)
{
    int r;

    for (uint64_t n = 0; n < x->geo.n_payload; n++) {
        uint64_t index = vhdx_bat_index(x, n), e = x->bat[index], off = n << x->geo.block_shift;
        uint64_t len = MIN((uint64_t)x->params.block_size, x->params.size - off);
        uint64_t to = VHDX_ZERO;
        if (n % 64 == 0 && (r = disk_job_step(job, n, x->geo.n_payload * 2, err)) < 0)
            return r;
        if (!(e & VHDX_BAT_OFFSET))
            continue;
        if ((e & 6) == 6) {
            r = judge(&x->disk, x->parent, off, len, a, b);
            if (r < 0)
                return failed(err, r);
            if (r == 0)
                continue;
            to = r == 2 ? VHDX_NOT_PRESENT : VHDX_ZERO;
        }
        if ((r = vhdx_bat_set(x, index, to)) < 0)
            return failed(err, r);
        c->freed_blocks++;
    }
    return 0;
}

static int list_vhdx(struct vhdx *x, struct place **ret, size_t *ret_n)
{
    uint64_t ratio = UINT64_C(1) << x->geo.ratio_shift;
    size_t n = 0;

    for (uint64_t i = 0; i < x->geo.n_bat; i++)
        n += (x->bat[i] & VHDX_BAT_OFFSET) != 0;
    struct place *p = calloc(n + 1, sizeof *p);
    if (!p)
        return -ENOMEM;
    n = 0;
    for (uint64_t i = 0; i < x->geo.n_bat; i++)
        if (x->bat[i] & VHDX_BAT_OFFSET)
            p[n++] = (struct place){ x->bat[i] & VHDX_BAT_OFFSET,
                                     i % (ratio + 1) == ratio ? VHDX_BITMAP_BLOCK
                                                              : x->params.block_size, i };
    qsort(p, n, sizeof *p, falling);
    *ret = p;
    *ret_n = n;
    return 0;
}

/* The log is empty, the table on disk is what we have: the next round starts from the file. */
static int settle_vhdx(struct vhdx *x, struct err *err)
{
    int r = disk_flush_sync(&x->disk);

    if (r < 0)
        return failed(err, r);
    x->free.n = x->freed.n = x->punch.n = 0;
    if ((r = vhdx_space_scan(x, NULL, err)) < 0 || (r = vhdx_shut(x, err)) < 0)
        return r;
    bm_reset(&x->bits); /* places may have changed */
    return vhdx_space_scan(x, NULL, err);
}

/* One round of moves: how many, or -errno. */
static int move_vhdx(struct vhdx *x, uint8_t *buf, struct err *err)
{
    struct { uint64_t index, entry; } done[MOVES_A_ROUND];
    struct place *p;
    size_t n, n_done = 0;
    int r = list_vhdx(x, &p, &n);

    if (r < 0)
        return failed(err, r);
    struct vhdx_extents holes = { 0 };
    for (size_t i = 0; i < x->holes.n && r == 0; i++)
        r = vhdx_extents_add(&holes, x->holes.e[i].off, x->holes.e[i].len);
    if (r == 0)
        r = vhdx_begin_sync(x, err);
    for (size_t i = 0; i < n && r == 0 && n_done < MOVES_A_ROUND; i++) {
        struct vhdx_extent *h = NULL;
        for (size_t k = 0; k < holes.n && !h; k++)
            if (holes.e[k].len >= p[i].len && holes.e[k].off < p[i].off)
                h = &holes.e[k];
        if (!h)
            continue;
        r = copy_bytes(x->file, p[i].off, h->off, p[i].len, buf);
        done[n_done].index = p[i].index;
        done[n_done++].entry = h->off | (x->bat[p[i].index] & VHDX_BAT_STATE);
        h->off += p[i].len;
        h->len -= p[i].len;
    }
    free(holes.e);
    free(p);
    if (r == 0)
        r = disk_flush_sync(x->file);
    for (size_t i = 0; i < n_done && r == 0; i++)
        r = vhdx_bat_set(x, done[i].index, done[i].entry);
    if (r < 0)
        return failed(err, r);
    r = settle_vhdx(x, err);
    return r < 0 ? r : (int)n_done;
}

static int compact_vhdx(struct vhdx *x, const struct disk_job *job, struct disk_compacted *c,
                        uint8_t *a, uint8_t *b, struct err *err)
{
    uint64_t total = x->geo.n_payload * 2;
    int r;

    if (x->params.fixed)
        return err_set(err, EINVAL, "a fixed disk is not compacted; convert it");
    memcpy(x->data_guid, x->hdr.data_guid, 16); /* nothing that is seen changes */
    if ((r = vhdx_begin_sync(x, err)) < 0 ||
        (r = free_vhdx(x, job, c, a, b, err)) < 0 || (r = settle_vhdx(x, err)) < 0)
        return r;
    while ((r = move_vhdx(x, a, err)) > 0) {
        c->moved_blocks += (unsigned)r;
        r = disk_job_step(job, MIN(total / 2 + c->moved_blocks, total), total, err);
        if (r < 0)
            return r;
    }
    return r;
}

/* ---- VHD ------------------------------------------------------------------------------------- */

static int free_vhd(struct vhd *v, const struct disk_job *job, struct disk_compacted *c,
                    uint8_t *a, uint8_t *b, struct err *err)
{
    bool diff = v->footer.type == VHD_DIFF;
    int r;

    for (uint32_t n = 0; n < v->header.n_bat; n++) {
        uint64_t off = (uint64_t)n << v->block_shift;
        if (n % 64 == 0 && (r = disk_job_step(job, n, (uint64_t)v->header.n_bat * 2, err)) < 0)
            return r;
        if (v->bat[n] == VHD_BAT_NONE || off >= v->footer.size)
            continue;
        r = judge(&v->disk, v->parent, off, MIN((uint64_t)v->block_size, v->footer.size - off), a,
                  b);
        if (r < 0)
            return failed(err, r);
        if (r == 0 || (diff && r == 1)) /* a child has no word for zeros */
            continue;
        if ((r = vhd_bat_set(v, n, VHD_BAT_NONE)) < 0)
            return failed(err, r);
        c->freed_blocks++;
    }
    return failed(err, disk_flush_sync(&v->disk));
}

static int rising(const void *x, const void *y)
{
    return -falling(x, y);
}

#define STAYS UINT64_MAX /* the index of metadata */

/* All that has a place in the file, from its front on.  A resize may have put the table behind
 * blocks. */
static struct place *list_vhd(const struct vhd *v, size_t *ret_n)
{
    struct place *p = calloc((size_t)v->header.n_bat + 3 + VHD_LOCATORS, sizeof *p);
    size_t n = 0;

    if (!p)
        return NULL;
    p[n++] = (struct place){ 0, VHD_FOOTER_SIZE, STAYS };
    p[n++] = (struct place){ v->footer.data_off, VHD_HEADER_SIZE, STAYS };
    p[n++] = (struct place){ v->header.bat_off, (uint64_t)v->header.n_bat * 4, STAYS };
    for (unsigned i = 0; i < VHD_LOCATORS && v->footer.type == VHD_DIFF; i++)
        if (v->header.loc[i].code)
            p[n++] = (struct place){ v->header.loc[i].off, v->header.loc[i].len, STAYS };
    for (uint32_t i = 0; i < v->header.n_bat; i++)
        if (v->bat[i] != VHD_BAT_NONE)
            p[n++] = (struct place){ (uint64_t)v->bat[i] * VHD_SECTOR,
                                     (uint64_t)v->bitmap_bytes + v->block_size, i };
    qsort(p, n, sizeof *p, rising);
    *ret_n = n;
    return p;
}

static int move_vhd(struct vhd *v, uint8_t *buf, struct err *err)
{
    size_t n = 0, n_done = 0;
    AUTO(free_p) struct place *p = list_vhd(v, &n);
    struct { uint32_t index, entry; } done[MOVES_A_ROUND];
    uint64_t need = (uint64_t)v->bitmap_bytes + v->block_size, gap = 0;
    int r = 0;

    if (!p)
        return failed(err, -ENOMEM);
    /* From the front: where the gap before thing i is wide enough, the last block goes. */
    for (size_t i = 0; i < n && r == 0 && n_done < MOVES_A_ROUND;) {
        uint64_t at = vhd_next_place(gap, v->bitmap_bytes);
        if (at + need > p[i].off) {
            gap = MAX(gap, p[i].off + p[i].len);
            i++;
            continue;
        }
        struct place *last = &p[--n];
        if (last->index == STAYS)
            continue;
        r = copy_bytes(v->file, last->off, at, need, buf);
        done[n_done].index = (uint32_t)last->index;
        done[n_done++].entry = (uint32_t)(at / VHD_SECTOR);
        gap = at + need;
    }
    if (r == 0)
        r = disk_flush_sync(v->file);
    for (size_t i = 0; i < n_done && r == 0; i++)
        r = vhd_bat_set(v, done[i].index, done[i].entry);
    if (r == 0)
        r = disk_flush_sync(&v->disk);
    return r < 0 ? failed(err, r) : (int)n_done;
}

static int compact_vhd(struct vhd *v, const struct disk_job *job, struct disk_compacted *c,
                       uint8_t *a, uint8_t *b, struct err *err)
{
    uint64_t total = (uint64_t)v->header.n_bat * 2;
    int r;

    if (v->footer.type == VHD_FIXED)
        return err_set(err, EINVAL, "a fixed disk is not compacted; convert it");
    if (v->footer.saved_state)
        return err_set(err, EBUSY, "a saved machine uses this disk");
    if ((r = vhd_begin_sync(v, err)) < 0 || (r = free_vhd(v, job, c, a, b, err)) < 0)
        return r;
    while ((r = move_vhd(v, a, err)) > 0) {
        c->moved_blocks += (unsigned)r;
        r = disk_job_step(job, MIN(total / 2 + c->moved_blocks, total), total, err);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    bm_reset(&v->bits); /* places have changed */
    if ((r = vhd_bat_check(v, NULL, err)) < 0) /* finds the new end */
        return r;
    return vhd_end_footer(v, err);
}

/* ---- all ------------------------------------------------------------------------------------- */

int disk_compact(struct disk *d, const struct disk_job *job, struct disk_compacted *ret,
                 struct err *err)
{
    AUTO(free_p) uint8_t *a = malloc(STEP);
    AUTO(free_p) uint8_t *b = malloc(STEP);
    struct disk *file = d->ops == &vhdx_ops ? vhdx_of(d)->file
                        : d->ops == &vhd_ops ? vhd_of(d)->file : NULL;

    if (!file)
        return err_set(err, ENOTSUP, "a %s disk has no blocks to give back", d->kind);
    if (d->read_only)
        return err_set(err, EROFS, "the disk is open for reading only");
    if (!a || !b)
        return err_set(err, ENOMEM, "no memory to compact");
    *ret = (struct disk_compacted){ .size_before = file->size };
    int r = d->ops == &vhdx_ops ? compact_vhdx(vhdx_of(d), job, ret, a, b, err)
                                : compact_vhd(vhd_of(d), job, ret, a, b, err);
    ret->size_after = file->size;
    return r;
}
