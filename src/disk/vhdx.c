/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx.c - requests on a VHDX: from guest offsets to places in the file or the parent.
 *
 * Spec:    [MS-VHDX] 2.5 (BAT, sector bitmaps).  Invariants: vhdx.h.
 * Called:  disk.c.   Calls: the file beneath, the parent, vhdx_space.c, vhdx_commit.c. */
#include "disk/vhdx.h"

#include <errno.h>

#include "base/bytes.h"
#include "disk/layer.h"

#define PAGE_SECTORS_SHIFT 15 /* a page of bitmap has 2^15 bits */

enum run_kind { RUN_FILE, RUN_ZERO, RUN_PARENT, RUN_LOAD };

struct run {
    enum run_kind kind;
    uint64_t len;
    uint64_t file_off; /* FILE; LOAD: of the page */
    uint64_t page;     /* LOAD */
};

static uint64_t page_of(const struct vhdx *v, uint64_t off)
{
    return off >> v->geo.sector_shift >> PAGE_SECTORS_SHIFT;
}

static uint64_t page_place(const struct vhdx *v, uint64_t page)
{
    uint64_t entry = v->bat[vhdx_bitmap_index(v, page >> 8)];

    return (entry & VHDX_BAT_OFFSET) + (page & 255) * VHDX_PAGE;
}

/* A run inside a PARTIAL block: the bitmap decides. */
static struct run run_of_bits(struct vhdx *v, uint64_t off, uint64_t len, uint64_t place)
{
    uint64_t page = page_of(v, off);
    uint32_t bit = (uint32_t)(off >> v->geo.sector_shift) & ((1u << PAGE_SECTORS_SHIFT) - 1);
    uint64_t page_end = (page + 1) << PAGE_SECTORS_SHIFT << v->geo.sector_shift;
    struct bm_page *p = bm_find(&v->bits, page);
    bool here;

    if (!p)
        return (struct run){ RUN_LOAD, 0, page_place(v, page), page };
    len = MIN(len, page_end - off);
    uint32_t n = bits_run(p->data, bit, (uint32_t)((len - 1) >> v->geo.sector_shift) + 1, false,
                          &here);
    len = MIN(len, (uint64_t)n << v->geo.sector_shift);
    return (struct run){ here ? RUN_FILE : RUN_PARENT, len, place, 0 };
}

static struct run run_at(struct vhdx *v, uint64_t off, uint64_t len)
{
    uint64_t in = off & (v->params.block_size - 1);
    uint64_t entry = v->bat[vhdx_bat_index(v, off >> v->geo.block_shift)];

    len = MIN(len, v->params.block_size - in);
    switch (entry & VHDX_BAT_STATE) {
    case VHDX_FULL:
        return (struct run){ RUN_FILE, len, (entry & VHDX_BAT_OFFSET) + in, 0 };
    case VHDX_PARTIAL:
        return run_of_bits(v, off, len, (entry & VHDX_BAT_OFFSET) + in);
    case VHDX_NOT_PRESENT:
        return (struct run){ v->params.has_parent ? RUN_PARENT : RUN_ZERO, len, 0, 0 };
    default:
        return (struct run){ RUN_ZERO, len, 0, 0 };
    }
}

/* ---- requests in the file -------------------------------------------------------------------- */

static void file_back(struct disk_rq *rq, int err, void *ctx)
{
    struct vhdx *v = ctx;
    uint64_t aux = disk_frame_aux(rq);

    v->flying[aux & 1]--;
    if (!(aux & DISK_FUA << 1)) {
        disk_finish(rq, err);
        return;
    }
    rq->flags |= DISK_FUA; /* it was kept from the file: metadata has to follow */
    if (err)
        disk_finish(rq, err);
    else
        vhdx_flush(v, rq);
}

/* Send 'rq' to 'off' of the file. */
static void to_file(struct vhdx *v, struct disk_rq *rq, uint64_t off,
                    void (*back)(struct disk_rq *, int, void *))
{
    disk_push(rq, back, v);
    v->flying[v->epoch]++;
    rq->frames[rq->n_frames - 1].aux = v->epoch;
    if ((rq->flags & DISK_FUA) && (vhdx_is_dirty(v) || back != file_back)) {
        rq->flags &= ~(uint32_t)DISK_FUA;
        rq->frames[rq->n_frames - 1].aux |= DISK_FUA << 1;
    }
    rq->off = off;
    disk_submit(v->file, rq);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_parent(struct vhdx *v, struct disk_rq *rq)
{
    struct disk *p = v->parent;

    if (!p || rq->off >= p->size) {
        iov_zero(rq->iov, rq->n_iov, 0, rq->len);
        disk_finish_soon(&v->disk, rq, 0);
        return;
    }
    if (range_ok(rq->off, rq->len, p->size)) {
        disk_submit(p, rq);
        return;
    }
    /* The child is longer than its parent. */
    uint64_t n = p->size - rq->off;
    disk_split_begin(rq);
    iov_zero(rq->iov, rq->n_iov, n, rq->len - n);
    struct disk_rq *part = disk_split(v->disk.io, rq, rq->off, n);
    if (part)
        disk_submit(p, part);
    disk_split_end(&v->disk, rq, 0);
}

static void read_run(struct vhdx *v, struct disk_rq *rq, const struct run *run)
{
    switch (run->kind) {
    case RUN_FILE:
        to_file(v, rq, run->file_off, file_back);
        break;
    case RUN_ZERO:
        iov_zero(rq->iov, rq->n_iov, 0, rq->len);
        disk_finish_soon(&v->disk, rq, 0);
        break;
    case RUN_PARENT:
        read_parent(v, rq);
        break;
    case RUN_LOAD:
        bm_load(&v->bits, run->page, run->file_off, rq);
        break;
    }
}

static void vhdx_read(struct vhdx *v, struct disk_rq *rq)
{
    struct run run = run_at(v, rq->off, rq->len);

    if (run.len == rq->len || run.kind == RUN_LOAD) {
        read_run(v, rq, &run);
        return;
    }
    disk_split_begin(rq);
    for (uint64_t off = rq->off, end = rq->off + rq->len; off < end; off += run.len) {
        run = run_at(v, off, end - off);
        if (run.kind == RUN_LOAD) /* the piece comes back here and may split again */
            run.len = MIN(end - off, v->params.block_size - (off & (v->params.block_size - 1)));
        struct disk_rq *part = disk_split(v->disk.io, rq, off, run.len);
        if (!part)
            break;
        read_run(v, part, &run);
    }
    disk_split_end(&v->disk, rq, 0);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A write into a PARTIAL block is done: its sectors are here now. */
static void partial_back(struct disk_rq *rq, int err, void *ctx)
{
    struct vhdx *v = ctx;
    uint64_t aux = disk_frame_aux(rq), block = rq->off >> v->geo.block_shift;
    uint64_t index = vhdx_bat_index(v, block), entry = v->bat[index];
    struct bm_page *p = bm_find(&v->bits, page_of(v, rq->off));

    v->flying[aux & 1]--;
    p->pins--;
    if (!err && (entry & VHDX_BAT_STATE) == VHDX_PARTIAL) {
        if (rq->len == v->params.block_size) {
            err = vhdx_bat_set(v, index, (entry & VHDX_BAT_OFFSET) | VHDX_FULL);
        } else {
            uint32_t bit = (uint32_t)(rq->off >> v->geo.sector_shift) &
                           ((1u << PAGE_SECTORS_SHIFT) - 1);
            bits_set(p->data, bit, (uint32_t)(rq->len >> v->geo.sector_shift), false, true);
            err = bm_dirty(&v->bits, p);
        }
        v->need_order = true;
    }
    if (aux & DISK_FUA << 1)
        rq->flags |= DISK_FUA;
    if (!err && (rq->flags & DISK_FUA))
        vhdx_flush(v, rq);
    else
        disk_finish(rq, err);
    vhdx_commit_if_many(v);
}

/* Write into a PARTIAL block; the range lies in one page of bitmap. */
static void write_partial(struct vhdx *v, struct disk_rq *rq, uint64_t place)
{
    uint64_t page = page_of(v, rq->off);
    uint32_t bit = (uint32_t)(rq->off >> v->geo.sector_shift) & ((1u << PAGE_SECTORS_SHIFT) - 1);
    uint32_t n = (uint32_t)(rq->len >> v->geo.sector_shift);
    struct bm_page *p = bm_find(&v->bits, page);
    bool here;

    if (!p) {
        bm_load(&v->bits, page, page_place(v, page), rq);
        return;
    }
    if (bits_run(p->data, bit, n, false, &here) == n && here) {
        to_file(v, rq, place, file_back);
        return;
    }
    p->pins++;
    to_file(v, rq, place, partial_back);
}

/* The bitmap pages of 'block' are needed with its bits clear: 0, or 1 when 'rq' waits for one. */
static int clear_bits(struct vhdx *v, uint64_t block, bool fresh, struct disk_rq *rq)
{
    uint64_t off = block << v->geo.block_shift;
    uint64_t first = page_of(v, off), last = page_of(v, off + v->params.block_size - 1);
    uint32_t n_bits = (uint32_t)(v->params.block_size >> v->geo.sector_shift);
    uint32_t bit = (uint32_t)(off >> v->geo.sector_shift) & ((1u << PAGE_SECTORS_SHIFT) - 1);

    for (uint64_t i = first; i <= last; i++) {
        if (fresh && !bm_new(&v->bits, i, page_place(v, i)))
            return -ENOMEM;
        if (!bm_find(&v->bits, i)) {
            bm_load(&v->bits, i, page_place(v, i), rq);
            return 1;
        }
    }
    n_bits = MIN(n_bits, 1u << PAGE_SECTORS_SHIFT);
    for (uint64_t i = first; i <= last; i++) {
        struct bm_page *p = bm_find(&v->bits, i);
        bits_set(p->data, bit, n_bits, false, false);
        if (bm_dirty(&v->bits, p) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* First write to a block that the parent has: 0, 1 when 'rq' was parked, or -errno. */
static int enter_partial(struct vhdx *v, uint64_t block, struct disk_rq *rq)
{
    uint64_t bm_index = vhdx_bitmap_index(v, block >> v->geo.ratio_shift), place;
    bool fresh = (v->bat[bm_index] & VHDX_BAT_STATE) != VHDX_FULL;
    int r;

    if (fresh) {
        if ((r = vhdx_alloc(v, VHDX_BITMAP_BLOCK, &place)) < 0 ||
            (r = vhdx_bat_set(v, bm_index, place | VHDX_FULL)) < 0)
            return r;
    }
    if ((r = clear_bits(v, block, fresh, rq)) != 0)
        return r;
    if ((r = vhdx_alloc(v, v->params.block_size, &place)) < 0)
        return r;
    return vhdx_bat_set(v, vhdx_bat_index(v, block), place | VHDX_PARTIAL);
}

/* First write to a block whose content is zeros; a place that it kept is given up. */
static int enter_full(struct vhdx *v, uint64_t index)
{
    uint64_t old = v->bat[index], place;
    int r = vhdx_alloc(v, v->params.block_size, &place);

    if (r < 0)
        return r;
    if ((r = vhdx_bat_set(v, index, place | VHDX_FULL)) < 0)
        return r;
    if (old & VHDX_BAT_OFFSET)
        vhdx_free_block(v, old & VHDX_BAT_OFFSET, v->params.block_size);
    return 0;
}

/* WRITE or WRITE_ZEROES inside one block and one page of bitmap. */
static void write_block(struct vhdx *v, struct disk_rq *rq)
{
    uint64_t block = rq->off >> v->geo.block_shift, in = rq->off & (v->params.block_size - 1);
    uint64_t index = vhdx_bat_index(v, block), state = v->bat[index] & VHDX_BAT_STATE;
    bool zeros = rq->op == DISK_WRITE_ZEROES;
    int r = 0;

    if (state == VHDX_NOT_PRESENT && v->params.has_parent) {
        if (zeros && rq->len == v->params.block_size)
            r = vhdx_bat_set(v, index, VHDX_ZERO);
        else
            r = enter_partial(v, block, rq);
        if (r > 0)
            return; /* parked */
    } else if (state != VHDX_FULL && state != VHDX_PARTIAL && !zeros) {
        r = enter_full(v, index);
    }
    if (r < 0) {
        disk_finish_soon(&v->disk, rq, r);
        return;
    }
    uint64_t entry = v->bat[index];
    state = entry & VHDX_BAT_STATE;
    if (state == VHDX_FULL)
        to_file(v, rq, (entry & VHDX_BAT_OFFSET) + in, file_back);
    else if (state == VHDX_PARTIAL)
        write_partial(v, rq, (entry & VHDX_BAT_OFFSET) + in);
    else if (rq->flags & DISK_FUA) /* zeros where there were zeros */
        vhdx_flush(v, rq);
    else
        disk_finish_soon(&v->disk, rq, 0);
}

/* How much from 'off' on one write_block() can take. */
static uint64_t write_span(const struct vhdx *v, uint64_t off, uint64_t len)
{
    uint64_t unit = v->params.block_size;

    if (v->params.has_parent)
        unit = MIN(unit, UINT64_C(1) << PAGE_SECTORS_SHIFT << v->geo.sector_shift);
    return MIN(len, unit - (off & (unit - 1)));
}

static void vhdx_write(struct vhdx *v, struct disk_rq *rq)
{
    if (write_span(v, rq->off, rq->len) == rq->len) {
        write_block(v, rq);
        vhdx_commit_if_many(v);
        return;
    }
    disk_split_begin(rq);
    for (uint64_t off = rq->off, end = rq->off + rq->len, n; off < end; off += n) {
        n = write_span(v, off, end - off);
        struct disk_rq *part = disk_split(v->disk.io, rq, off, n);
        if (!part)
            break;
        write_block(v, part);
    }
    disk_split_end(&v->disk, rq, 0);
    vhdx_commit_if_many(v);
}

/* ---- discard and zeroes ---------------------------------------------------------------------- */

/* A whole block becomes zeros without space. */
static int drop_block(struct vhdx *v, uint64_t index, bool must_zero)
{
    uint64_t entry = v->bat[index], state = entry & VHDX_BAT_STATE;
    int r;

    if (state == VHDX_NOT_PRESENT && (!v->params.has_parent || !must_zero))
        return 0;
    if (state == VHDX_ZERO)
        return 0;
    if ((r = vhdx_bat_set(v, index, VHDX_ZERO)) < 0)
        return r;
    if (entry & VHDX_BAT_OFFSET)
        vhdx_free_block(v, entry & VHDX_BAT_OFFSET, v->params.block_size);
    return 0;
}

/* Does [off, off + len) cover its block, the disk's end counting as the block's? */
static bool covers(const struct vhdx *v, uint64_t off, uint64_t len)
{
    return !(off & (v->params.block_size - 1)) &&
           (len == v->params.block_size || off + len == v->params.size);
}

/* Advice on a part of a block: a hole in the file is as good as zeros there. */
static void discard_part(struct vhdx *v, struct disk_rq *rq)
{
    uint64_t entry = v->bat[vhdx_bat_index(v, rq->off >> v->geo.block_shift)];
    uint64_t in = rq->off & (v->params.block_size - 1);

    if ((entry & VHDX_BAT_STATE) == VHDX_FULL)
        to_file(v, rq, (entry & VHDX_BAT_OFFSET) + in, file_back);
    else
        disk_finish_soon(&v->disk, rq, 0);
}

static void vhdx_zero(struct vhdx *v, struct disk_rq *rq)
{
    bool must = rq->op == DISK_WRITE_ZEROES;
    bool may_drop = !v->params.fixed && (!must || (rq->flags & DISK_UNMAP) || v->params.has_parent);
    int r = 0;

    disk_split_begin(rq);
    for (uint64_t off = rq->off, end = rq->off + rq->len, n; off < end && r == 0; off += n) {
        uint64_t block = v->params.block_size;
        n = MIN(end - off, block - (off & (block - 1)));
        if (may_drop && covers(v, off, n)) {
            r = drop_block(v, vhdx_bat_index(v, off >> v->geo.block_shift), must);
            continue;
        }
        n = must ? write_span(v, off, n) : n;
        struct disk_rq *part = disk_split(v->disk.io, rq, off, n);
        if (!part)
            break;
        if (v->params.fixed)
            part->flags &= ~(uint32_t)DISK_UNMAP;
        if (must)
            write_block(v, part);
        else if (v->params.fixed)
            disk_finish_soon(&v->disk, part, 0);
        else
            discard_part(v, part);
    }
    if (rq->flags & DISK_FUA) { /* for what was only a change of entries */
        struct disk_rq *part = disk_split(v->disk.io, rq, rq->off, 0);
        if (part)
            vhdx_flush(v, part);
    }
    disk_split_end(&v->disk, rq, r);
    vhdx_commit_if_many(v);
}

/* ---- the door -------------------------------------------------------------------------------- */

static void vhdx_submit(struct disk *d, struct disk_rq *rq)
{
    struct vhdx *v = vhdx_of(d);

    if (rq->op == DISK_READ) {
        vhdx_read(v, rq);
        return;
    }
    if (rq->op == DISK_FLUSH) {
        vhdx_flush(v, rq);
        return;
    }
    if (unlikely(v->phase != VHDX_OPEN)) {
        vhdx_begin(v, rq);
        return;
    }
    if (rq->op == DISK_WRITE)
        vhdx_write(v, rq);
    else
        vhdx_zero(v, rq);
}

/* map() blocks: bring a page of bitmap in by reading one sector of the disk. */
static int load_page(struct vhdx *v, uint64_t off)
{
    uint8_t sector[4096];

    return disk_read_sync(&v->disk, off, sector, v->params.logical);
}

static int map_parent(struct vhdx *v, uint64_t off, uint64_t len, struct disk_extent *ret)
{
    struct disk *p = v->parent;

    if (!p || off >= p->size) {
        ret->len = len;
        ret->kind = DISK_EXT_ABSENT;
        return 0;
    }
    int r = disk_map(p, off, MIN(len, p->size - off), ret);
    ret->depth++;
    return r;
}

static int vhdx_map(struct disk *d, uint64_t off, uint64_t len, struct disk_extent *ret)
{
    struct vhdx *v = vhdx_of(d);
    struct run run = run_at(v, off, len);
    int r;

    while (run.kind == RUN_LOAD) {
        if ((r = load_page(v, off)) < 0)
            return r;
        run = run_at(v, off, len);
    }
    if (run.kind == RUN_PARENT)
        return map_parent(v, off, run.len, ret);
    /* Neighbours of the same kind, in the file or in nothing, make one extent. */
    uint64_t n = run.len;
    for (unsigned i = 0; n < len && i < 65536; i++) {
        struct run more = run_at(v, off + n, len - n);
        if (more.kind != run.kind ||
            (run.kind == RUN_FILE && more.file_off != run.file_off + n))
            break;
        n += more.len;
    }
    uint64_t state = v->bat[vhdx_bat_index(v, off >> v->geo.block_shift)] & VHDX_BAT_STATE;
    ret->len = n;
    ret->kind = run.kind == RUN_FILE ? DISK_EXT_DATA
                : state == VHDX_NOT_PRESENT ? DISK_EXT_ABSENT : DISK_EXT_ZERO;
    ret->file_off = run.kind == RUN_FILE ? run.file_off : UINT64_MAX;
    return 0;
}

static int vhdx_close(struct disk *d, struct err *err)
{
    struct vhdx *v = vhdx_of(d);
    int r = vhdx_shut(v, err);
    int r2 = disk_close(v->file, r < 0 ? NULL : err);

    if (v->parent)
        disk_close(v->parent, NULL); /* was only read */
    v->file = v->parent = NULL;
    bm_done(&v->bits);
    vhdx_locator_done(&v->locator);
    vhdx_replay_done(&v->replay);
    free(v->bat);
    dirty_set_done(&v->bat_dirty);
    free(v->free.e);
    free(v->holes.e);
    free(v->freed.e);
    free(v->punch.e);
    free(v->c.entry);
    free(v->c.pages);
    batch_done(&v->c.batch);
    free(v);
    return r < 0 ? r : r2;
}

const struct disk_ops vhdx_ops = {
    .name = "vhdx", .submit = vhdx_submit, .close = vhdx_close, .map = vhdx_map,
};
