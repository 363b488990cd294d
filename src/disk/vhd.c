/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhd.c - requests on a VHD: fixed, dynamic, differencing.
 *
 * Spec:    VHD Image Format 1.0, "Block Allocation Table and Data Blocks".  Rules: vhd.h.
 * Called:  disk.c.   Calls: the file beneath, the parent, vhd_commit.c. */
#include "disk/vhd.h"

#include <errno.h>

#include "disk/layer.h"

enum run_kind { RUN_FILE, RUN_ZERO, RUN_PARENT, RUN_LOAD };

struct run {
    enum run_kind kind;
    uint64_t len, file_off;
};

static bool is_diff(const struct vhd *v)
{
    return v->footer.type == VHD_DIFF;
}

static uint64_t place_of(const struct vhd *v, uint64_t block)
{
    return (uint64_t)v->bat[block] * VHD_SECTOR;
}

static struct run run_at(struct vhd *v, uint64_t off, uint64_t len)
{
    uint64_t block = off >> v->block_shift, in = off & (v->block_size - 1);
    bool here;

    len = MIN(len, v->block_size - in);
    if (v->bat[block] == VHD_BAT_NONE)
        return (struct run){ is_diff(v) ? RUN_PARENT : RUN_ZERO, len, 0 };
    uint64_t place = place_of(v, block);
    if (!is_diff(v)) /* unwritten sectors are zeros in the file: its bitmap need not be asked */
        return (struct run){ RUN_FILE, len, place + v->bitmap_bytes + in };
    struct bm_page *p = bm_find(&v->bits, block);
    if (!p)
        return (struct run){ RUN_LOAD, len, place };
    uint32_t n = bits_run(p->data, (uint32_t)(in / VHD_SECTOR), (uint32_t)(len / VHD_SECTOR), true,
                          &here);
    return (struct run){ here ? RUN_FILE : RUN_PARENT, (uint64_t)n * VHD_SECTOR,
                         place + v->bitmap_bytes + in };
}

/* ---- requests in the file -------------------------------------------------------------------- */

static void fua_back(struct disk_rq *rq, int err, void *ctx)
{
    rq->flags |= DISK_FUA;
    if (err)
        disk_finish(rq, err);
    else
        vhd_flush(ctx, rq);
}

static void plain_back(struct disk_rq *rq, int err, void *ctx)
{
    disk_finish(rq, err);
}

static void to_file(struct vhd *v, struct disk_rq *rq, uint64_t off)
{
    bool fua = (rq->flags & DISK_FUA) && vhd_is_dirty(v);

    if (fua)
        rq->flags &= ~(uint32_t)DISK_FUA;
    disk_push(rq, fua ? fua_back : plain_back, v);
    rq->off = off;
    disk_submit(v->file, rq);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_run(struct vhd *v, struct disk_rq *rq, const struct run *run)
{
    if (run->kind == RUN_FILE) {
        to_file(v, rq, run->file_off);
    } else if (run->kind == RUN_PARENT && v->parent) {
        disk_submit(v->parent, rq);
    } else if (run->kind == RUN_LOAD) {
        bm_load(&v->bits, rq->off >> v->block_shift, run->file_off, rq);
    } else {
        iov_zero(rq->iov, rq->n_iov, 0, rq->len);
        disk_finish_soon(&v->disk, rq, 0);
    }
}

static void vhd_read(struct vhd *v, struct disk_rq *rq)
{
    struct run run = run_at(v, rq->off, rq->len);

    if (run.len == rq->len) {
        read_run(v, rq, &run);
        return;
    }
    disk_split_begin(rq);
    for (uint64_t off = rq->off, end = rq->off + rq->len; off < end; off += run.len) {
        run = run_at(v, off, end - off);
        struct disk_rq *part = disk_split(v->disk.io, rq, off, run.len);
        if (!part)
            break;
        read_run(v, part, &run);
    }
    disk_split_end(&v->disk, rq, 0);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A write of sectors that were the parent's is done. */
static void diff_back(struct disk_rq *rq, int err, void *ctx)
{
    struct vhd *v = ctx;
    struct bm_page *p = bm_find(&v->bits, rq->off >> v->block_shift);
    uint64_t in = rq->off & (v->block_size - 1);

    p->pins--;
    if (!err) {
        bits_set(p->data, (uint32_t)(in / VHD_SECTOR), (uint32_t)(rq->len / VHD_SECTOR), true,
                 true);
        err = bm_dirty(&v->bits, p);
        v->need_order = true;
    }
    if (disk_frame_aux(rq))
        rq->flags |= DISK_FUA;
    if (!err && (rq->flags & DISK_FUA))
        vhd_flush(v, rq);
    else
        disk_finish(rq, err);
    vhd_commit_if_many(v);
}

static void write_diff(struct vhd *v, struct disk_rq *rq)
{
    uint64_t block = rq->off >> v->block_shift, in = rq->off & (v->block_size - 1), place;
    struct bm_page *p;
    bool here;
    int r;

    if (v->bat[block] == VHD_BAT_NONE) {
        if ((r = vhd_alloc(v, &place)) < 0 ||
            (r = bm_new(&v->bits, block, place) ? 0 : -ENOMEM) < 0 ||
            (r = vhd_bat_set(v, block, (uint32_t)(place / VHD_SECTOR))) < 0) {
            disk_finish_soon(&v->disk, rq, r);
            return;
        }
    }
    place = place_of(v, block);
    p = bm_find(&v->bits, block);
    if (!p) {
        bm_load(&v->bits, block, place, rq);
        return;
    }
    uint32_t n = (uint32_t)(rq->len / VHD_SECTOR);
    if (bits_run(p->data, (uint32_t)(in / VHD_SECTOR), n, true, &here) == n && here) {
        to_file(v, rq, place + v->bitmap_bytes + in);
        return;
    }
    p->pins++;
    disk_push(rq, diff_back, v);
    rq->frames[rq->n_frames - 1].aux = rq->flags & DISK_FUA;
    rq->flags &= ~(uint32_t)DISK_FUA;
    rq->off = place + v->bitmap_bytes + in;
    disk_submit(v->file, rq);
}

/* A dynamic block's bitmap becomes all ones, once: then it never needs to be written again. */
static int fill_bitmap(struct vhd *v, uint64_t block)
{
    struct bm_page *p = bm_new(&v->bits, block, place_of(v, block));

    if (!p)
        return -ENOMEM;
    bits_set(p->data, 0, v->block_size / VHD_SECTOR, true, true);
    v->block_known[block] = VHD_B_KNOWN | VHD_B_FULL;
    return bm_dirty(&v->bits, p);
}

static void write_dynamic(struct vhd *v, struct disk_rq *rq)
{
    uint64_t block = rq->off >> v->block_shift, in = rq->off & (v->block_size - 1), place;
    int r = 0;

    if (v->bat[block] == VHD_BAT_NONE && rq->op == DISK_WRITE_ZEROES) {
        if (rq->flags & DISK_FUA)
            vhd_flush(v, rq);
        else
            disk_finish_soon(&v->disk, rq, 0);
        return;
    }
    if (v->bat[block] == VHD_BAT_NONE) {
        if ((r = vhd_alloc(v, &place)) == 0)
            r = vhd_bat_set(v, block, (uint32_t)(place / VHD_SECTOR));
        if (r == 0)
            r = fill_bitmap(v, block);
    } else if (unlikely(!(v->block_known[block] & VHD_B_FULL))) {
        r = fill_bitmap(v, block); /* zeros in the file may well be marked as written */
    }
    if (r < 0)
        disk_finish_soon(&v->disk, rq, r);
    else
        to_file(v, rq, place_of(v, block) + v->bitmap_bytes + in);
}

static void write_block(struct vhd *v, struct disk_rq *rq)
{
    if (is_diff(v))
        write_diff(v, rq);
    else
        write_dynamic(v, rq);
}

static void vhd_write(struct vhd *v, struct disk_rq *rq)
{
    uint64_t in = rq->off & (v->block_size - 1);

    if (rq->len <= v->block_size - in) {
        write_block(v, rq);
        vhd_commit_if_many(v);
        return;
    }
    disk_split_begin(rq);
    for (uint64_t off = rq->off, end = rq->off + rq->len, n; off < end; off += n) {
        n = MIN(end - off, v->block_size - (off & (v->block_size - 1)));
        struct disk_rq *part = disk_split(v->disk.io, rq, off, n);
        if (!part)
            break;
        write_block(v, part);
    }
    disk_split_end(&v->disk, rq, 0);
    vhd_commit_if_many(v);
}

/* Advice: a hole in the file where the data was; the format itself knows no such state. */
static void vhd_discard(struct vhd *v, struct disk_rq *rq)
{
    disk_split_begin(rq);
    for (uint64_t off = rq->off, end = rq->off + rq->len, n; off < end; off += n) {
        uint64_t block = off >> v->block_shift, in = off & (v->block_size - 1);
        n = MIN(end - off, v->block_size - in);
        struct bm_page *p = is_diff(v) ? bm_find(&v->bits, block) : NULL;
        bool here = !is_diff(v);
        if (v->bat[block] == VHD_BAT_NONE)
            continue;
        if (p && bits_run(p->data, (uint32_t)(in / VHD_SECTOR), (uint32_t)(n / VHD_SECTOR), true,
                          &here) != n / VHD_SECTOR)
            continue;
        if (!here) /* the parent's, or not known: leave it */
            continue;
        struct disk_rq *part = disk_split(v->disk.io, rq, off, n);
        if (!part)
            break;
        to_file(v, part, place_of(v, block) + v->bitmap_bytes + in);
    }
    disk_split_end(&v->disk, rq, 0);
}

/* ---- the doors ------------------------------------------------------------------------------- */

static void vhd_submit(struct disk *d, struct disk_rq *rq)
{
    struct vhd *v = vhd_of(d);

    if (v->footer.type == VHD_FIXED) { /* the data is the front of the file */
        if (rq->op == DISK_DISCARD)
            disk_finish_soon(d, rq, 0);
        else
            disk_submit(v->file, rq);
        return;
    }
    if (rq->op == DISK_READ) {
        vhd_read(v, rq);
        return;
    }
    if (rq->op == DISK_FLUSH) {
        vhd_flush(v, rq);
        return;
    }
    if (unlikely(v->phase != VHD_OPEN))
        vhd_begin(v, rq);
    else if (rq->op == DISK_DISCARD)
        vhd_discard(v, rq);
    else
        vhd_write(v, rq);
}

static int vhd_map(struct disk *d, uint64_t off, uint64_t len, struct disk_extent *ret)
{
    struct vhd *v = vhd_of(d);
    uint8_t sector[VHD_SECTOR];
    int r;

    if (v->footer.type == VHD_FIXED)
        return disk_map(v->file, off, len, ret);
    struct run run = run_at(v, off, len);
    while (run.kind == RUN_LOAD) {
        if ((r = disk_read_sync(d, off, sector, sizeof sector)) < 0)
            return r;
        run = run_at(v, off, len);
    }
    if (run.kind == RUN_PARENT && v->parent) {
        r = disk_map(v->parent, off, run.len, ret);
        ret->depth++;
        return r;
    }
    uint64_t n = run.len;
    for (unsigned i = 0; n < len && i < 65536; i++) {
        struct run more = run_at(v, off + n, len - n);
        if (more.kind != run.kind ||
            (run.kind == RUN_FILE && more.file_off != run.file_off + n))
            break;
        n += more.len;
    }
    ret->len = n;
    ret->kind = run.kind == RUN_FILE ? DISK_EXT_DATA : DISK_EXT_ABSENT;
    ret->file_off = run.kind == RUN_FILE ? run.file_off : UINT64_MAX;
    return 0;
}

static int vhd_close(struct disk *d, struct err *err)
{
    struct vhd *v = vhd_of(d);
    int r = vhd_shut(v, err);
    int r2 = disk_close(v->file, r < 0 ? NULL : err);

    if (v->parent)
        disk_close(v->parent, NULL); /* was only read */
    bm_done(&v->bits);
    free(v->header.parent_name);
    free(v->loc_relative);
    free(v->loc_absolute);
    free(v->bat);
    free(v->block_known);
    dirty_set_done(&v->bat_dirty);
    batch_done(&v->c.batch);
    free(v);
    return r < 0 ? r : r2;
}

const struct disk_ops vhd_ops = {
    .name = "vhd", .submit = vhd_submit, .close = vhd_close, .map = vhd_map,
};
