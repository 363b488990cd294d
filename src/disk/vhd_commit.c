/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhd_commit.c - making a VHD's metadata durable, in batches: the rules stand in vhd.h.
 *
 *   begin:   [front footer, flush] truncate behind the last block, footer far behind, flush
 *   commit:  [size] [flush: bits were set, or blocks lie past the durable size]
 *            bitmaps and table sectors, flush, answer
 *
 * A commit that finds nothing dirty is one flush of the file. */
#include "disk/vhd.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/trace.h"
#include "disk/layer.h"

#define PIECES_MAX   512  /* written in one round */
#define DIRTY_MANY   4096 /* dirty pieces that start a commit by themselves */
#define ENTRIES      (VHD_SECTOR / 4)
#define GROW_MIN     (16 * MIB)
#define GROW_MAX     (256 * MIB)

/* ---- space ----------------------------------------------------------------------------------- */

static uint64_t far_limit(const struct vhd *v, uint64_t from)
{
    uint64_t stride = v->block_size + ALIGN_UP(v->bitmap_bytes, 4096u);
    uint64_t step = MIN(MAX(from / 8, GROW_MIN), GROW_MAX);

    return vhd_next_place(from + MAX(step / stride, UINT64_C(1)) * stride + 4096,
                          v->bitmap_bytes);
}

static void grow_done(struct disk_rq *rq, int err)
{
    container_of(rq, struct vhd, grow)->growing = false; /* a commit tries again, and tells */
}

int vhd_alloc(struct vhd *v, uint64_t *ret)
{
    uint64_t place = vhd_next_place(v->end, v->bitmap_bytes);
    uint64_t need = (uint64_t)v->bitmap_bytes + v->block_size;

    if (place + need > v->limit) {
        /* Blocks never stand where a footer stood: their space must read as zero. */
        place = vhd_next_place(v->limit + VHD_FOOTER_SIZE, v->bitmap_bytes);
        if ((place + need) / VHD_SECTOR >= VHD_BAT_NONE)
            return -ENOSPC;
        v->limit = far_limit(v, place);
        if (!v->growing) {
            v->growing = true;
            v->grow_iov = (struct iovec){ v->footer_sector, VHD_FOOTER_SIZE };
            v->grow = (struct disk_rq){ .op = DISK_WRITE, .off = v->limit,
                                        .len = VHD_FOOTER_SIZE, .iov = &v->grow_iov, .n_iov = 1,
                                        .done = grow_done };
            disk_submit(v->file, &v->grow);
        }
    }
    if ((place + need) / VHD_SECTOR >= VHD_BAT_NONE)
        return -ENOSPC;
    v->end = place + need;
    *ret = place;
    return 0;
}

int vhd_bat_set(struct vhd *v, uint64_t block, uint32_t entry)
{
    int r = dirty_set_add(&v->bat_dirty, (uint32_t)(block / ENTRIES));

    if (r == 0)
        v->bat[block] = entry;
    return r;
}

static bool pieces_dirty(const struct vhd *v)
{
    return v->bat_dirty.n || v->bits.n_dirty;
}

bool vhd_is_dirty(const struct vhd *v)
{
    return pieces_dirty(v) || v->c.running;
}

/* ---- begin ----------------------------------------------------------------------------------- */

static void commit_start(struct vhd *v);

static void step_io(struct vhd *v, enum disk_op op, uint64_t off, void *buf, uint64_t len,
                    void (*done)(struct disk_rq *, int))
{
    struct vhd_commit *c = &v->c;

    c->iov = (struct iovec){ buf, len };
    c->rq = (struct disk_rq){ .op = op, .off = off, .len = len, .iov = &c->iov,
                              .n_iov = op == DISK_WRITE, .done = done };
    disk_submit(v->file, &c->rq);
}

static void begin_end(struct vhd *v, int err)
{
    v->phase = err ? VHD_IDLE : VHD_OPEN;
    if (err)
        rq_list_finish(&v->parked, err);
    else
        rq_list_resume(&v->parked, &v->disk);
    if (v->flushes.first && !v->c.running)
        commit_start(v);
}

static void begin_step(struct disk_rq *rq, int err)
{
    struct vhd *v = container_of(rq, struct vhd, c.rq);

    if (err) {
        begin_end(v, err);
        return;
    }
    switch (v->c.step++) {
    case 0:
        /* From here on it is the only one for a while; a resize that was cut off left two sizes. */
        if (v->front_bad || v->footers_differ) {
            step_io(v, DISK_WRITE, 0, v->footer_sector, VHD_FOOTER_SIZE, begin_step);
            return;
        }
        v->c.step++;
        __attribute__((fallthrough));
    case 1:
        if (v->front_bad || v->footers_differ) {
            v->front_bad = v->footers_differ = false;
            step_io(v, DISK_FLUSH, 0, NULL, 0, begin_step);
            return;
        }
        v->c.step++;
        __attribute__((fallthrough));
    case 2:
        v->c.step = 3;
        step_io(v, DISK_TRUNCATE, v->end, NULL, 0, begin_step);
        return;
    case 3:
        v->limit = far_limit(v, v->end);
        step_io(v, DISK_WRITE, v->limit, v->footer_sector, VHD_FOOTER_SIZE, begin_step);
        return;
    case 4:
        step_io(v, DISK_FLUSH, 0, NULL, 0, begin_step);
        return;
    default:
        v->durable_size = v->file->size;
        begin_end(v, 0);
    }
}

static void begin_start(struct vhd *v)
{
    v->phase = VHD_BEGINNING;
    v->c.step = 0;
    begin_step(&v->c.rq, 0);
}

void vhd_begin(struct vhd *v, struct disk_rq *rq)
{
    if (v->phase == VHD_BROKEN) {
        disk_finish_soon(&v->disk, rq, -EIO);
        return;
    }
    rq_list_add(&v->parked, rq);
    if (v->phase == VHD_IDLE && !v->c.running)
        begin_start(v);
}

/* ---- commit ---------------------------------------------------------------------------------- */

enum { STEP_SIZE, STEP_SNAPSHOT, STEP_APPLY, STEP_FLUSH, STEP_ANSWER, STEP_LAST };

static void commit_run(struct vhd *v);

static void commit_end(struct vhd *v, int err)
{
    struct vhd_commit *c = &v->c;

    if (err && v->phase == VHD_OPEN)
        v->phase = VHD_BROKEN; /* nobody knows what is durable */
    batch_unpin(&c->batch);
    rq_list_finish(&c->waiters, err);
    c->running = false;
    if (v->phase == VHD_BROKEN) { /* what failed is dirty no more: another round would succeed */
        rq_list_finish(&v->flushes, -EIO);
        return;
    }
    if (v->parked.first && v->phase == VHD_IDLE)
        begin_start(v);
    else if (v->flushes.first)
        commit_start(v);
    else
        vhd_commit_if_many(v);
}

static void commit_step(struct disk_rq *rq, int err)
{
    struct vhd *v = container_of(rq, struct vhd, c.rq);

    if (rq->op == DISK_FLUSH && !err)
        v->durable_size = v->c.size_at_flush;
    if (err)
        commit_end(v, err);
    else
        commit_run(v);
}

static void flush_file(struct vhd *v)
{
    v->c.size_at_flush = v->file->size;
    step_io(v, DISK_FLUSH, 0, NULL, 0, commit_step);
}

static int make_room(struct vhd *v)
{
    size_t unit = MAX(v->bitmap_bytes, (uint32_t)VHD_SECTOR);
    size_t room = MIN((size_t)PIECES_MAX, MAX((size_t)(4 * MIB / unit), (size_t)16));

    return v->c.batch.room ? 0 : batch_init(&v->c.batch, v->file, unit, room);
}

static void snap_bat_sector(struct vhd *v, uint32_t sector)
{
    uint8_t *to = batch_add(&v->c.batch, v->header.bat_off + (uint64_t)sector * VHD_SECTOR,
                            VHD_SECTOR);
    uint64_t first = (uint64_t)sector * ENTRIES;

    memset(to, 0xff, VHD_SECTOR);
    for (uint64_t i = first; i < MIN(first + ENTRIES, (uint64_t)v->header.n_bat); i++)
        put_be32(to + (i - first) * 4, v->bat[i]);
}

/* Bitmaps first: of what does not fit, the table's sectors are left for the next round, so that no
 * entry is durable long before its bitmap. */
static void snapshot(struct vhd *v)
{
    struct vhd_commit *c = &v->c;

    c->batch.n = 0;
    batch_add_bitmaps(&c->batch, &v->bits);
    while (c->batch.n < c->batch.room && v->bat_dirty.n)
        snap_bat_sector(v, dirty_set_take(&v->bat_dirty));
    c->more = pieces_dirty(v);
    if (!c->more)
        v->need_order = false;
    TRACE("disk", "vhd_commit", "%zu pieces%s", c->batch.n, c->more ? ", more" : "");
}

static void batch_written(struct batch *b, int err)
{
    struct vhd *v = container_of(b, struct vhd, c.batch);

    if (err)
        commit_end(v, err);
    else
        commit_run(v);
}

static void commit_run(struct vhd *v)
{
    struct vhd_commit *c = &v->c;

    switch (c->step++) {
    case STEP_SIZE:
        if (!pieces_dirty(v)) {
            c->step = STEP_LAST;
            flush_file(v);
            return;
        }
        if (v->file->size < v->limit + VHD_FOOTER_SIZE) {
            step_io(v, DISK_WRITE, v->limit, v->footer_sector, VHD_FOOTER_SIZE, commit_step);
            return;
        }
        c->step++;
        __attribute__((fallthrough));
    case STEP_SNAPSHOT:
        c->step = STEP_APPLY;
        bool flush_first = v->need_order || v->end > v->durable_size;
        snapshot(v); /* bits that are set from now on wait for the next round */
        if (flush_first) {
            flush_file(v);
            return;
        }
        c->step++;
        __attribute__((fallthrough));
    case STEP_APPLY:
        c->step = STEP_FLUSH;
        batch_write(&c->batch, batch_written);
        return;
    case STEP_FLUSH:
        flush_file(v);
        return;
    case STEP_ANSWER:
        batch_unpin(&c->batch);
        if (c->more) {
            c->step = STEP_SIZE;
            commit_run(v);
            return;
        }
        break;
    default:
        break;
    }
    commit_end(v, 0);
}

static void commit_start(struct vhd *v)
{
    struct vhd_commit *c = &v->c;

    c->running = true;
    c->waiters = rq_list_take(&v->flushes);
    c->step = STEP_SIZE;
    c->more = false;
    if (pieces_dirty(v) && make_room(v) < 0)
        commit_end(v, -ENOMEM);
    else
        commit_run(v);
}

void vhd_flush(struct vhd *v, struct disk_rq *rq)
{
    if (v->disk.read_only || v->phase == VHD_BROKEN) {
        disk_finish_soon(&v->disk, rq, v->disk.read_only ? 0 : -EIO);
        return;
    }
    rq_list_add(&v->flushes, rq);
    if (!v->c.running && v->phase != VHD_BEGINNING)
        commit_start(v);
}

void vhd_commit_if_many(struct vhd *v)
{
    if (v->phase == VHD_OPEN && !v->c.running &&
        v->bat_dirty.n + v->bits.n_dirty >= DIRTY_MANY)
        commit_start(v);
}

/* ---- blocking -------------------------------------------------------------------------------- */

int vhd_end_footer(struct vhd *v, struct err *err)
{
    /* Right behind the last block: qemu puts its next bitmap there.  Where Windows leaves it (at
     * our next place) qemu's block would have the old footer in its data. */
    uint64_t at = ALIGN_UP(v->end, (uint64_t)VHD_SECTOR);
    int r = disk_write_sync(v->file, at, v->footer_sector, VHD_FOOTER_SIZE);

    if (r == 0)
        r = disk_flush_sync(v->file);
    if (r == 0 && v->file->size != at + VHD_FOOTER_SIZE) {
        r = disk_rw_sync(v->file, DISK_TRUNCATE, at + VHD_FOOTER_SIZE, NULL, 0, 0);
        if (r == 0)
            r = disk_flush_sync(v->file);
    }
    v->limit = at; /* should more blocks come: behind this footer */
    v->durable_size = v->file->size;
    return r < 0 ? err_errno(err, -r, "the end footer could not be written") : 0;
}

static bool settled(const struct vhd *v)
{
    return !v->c.running && v->phase != VHD_BEGINNING && !v->growing;
}

int vhd_shut(struct vhd *v, struct err *err)
{
    int r = 0;

    if (v->phase != VHD_OPEN && v->phase != VHD_BROKEN && settled(v))
        return 0;
    do {
        r = disk_flush_sync(&v->disk);
    } while (r == 0 && v->phase == VHD_OPEN && (pieces_dirty(v) || v->c.running));
    while (!settled(v))
        disk_flush_sync(v->file);
    if (r < 0 || v->phase != VHD_OPEN)
        return err_errno(err, r < 0 ? -r : EIO, "the last changes of metadata failed");
    v->phase = VHD_IDLE;
    return vhd_end_footer(v, err);
}

int vhd_begin_sync(struct vhd *v, struct err *err)
{
    if (v->phase == VHD_OPEN || v->footer.type == VHD_FIXED)
        return 0;
    int r = disk_begin_sync(&v->disk);
    return r < 0 ? err_errno(err, -r, "the file could not be prepared for writing") : 0;
}
