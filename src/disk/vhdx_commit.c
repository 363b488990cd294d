/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx_commit.c - making metadata durable: opening the log, one log entry a flush, closing.
 *
 * Spec: [MS-VHDX] 2.2.2 (headers), 2.3 (log).  Two little machines run step by step, each step one
 * request to the file: begin (before the first change after an open) and commit (for flushes).
 *
 *   begin:   truncate, punch holes, empty entry, flush, header, flush, other header, flush
 *   commit:  [size] [flush when bits changed] entry, flush, answer, pages in place, [punch]
 *
 * A commit that finds nothing dirty is one flush of the file. */
#include "disk/vhdx.h"

#include <assert.h>
#include <errno.h>

#include "base/bytes.h"
#include "base/trace.h"
#include "disk/guid.h"
#include "disk/layer.h"

#define PAGES_MAX    240  /* in one entry */
#define DIRTY_MANY   1024 /* dirty pages that start a commit by themselves */
#define FREED_MANY   256
#define BAT_A_PAGE   (VHDX_PAGE / 8)

/* ---- dirty pages ----------------------------------------------------------------------------- */

int vhdx_bat_set(struct vhdx *v, uint64_t index, uint64_t entry)
{
    int r = dirty_set_add(&v->bat_dirty, (uint32_t)(index / BAT_A_PAGE));

    if (r == 0)
        v->bat[index] = entry;
    return r;
}

static bool pages_dirty(const struct vhdx *v)
{
    return v->bat_dirty.n || v->bits.n_dirty;
}

bool vhdx_is_dirty(const struct vhdx *v)
{
    return pages_dirty(v) || v->c.running;
}

/* ---- begin ----------------------------------------------------------------------------------- */

static void begin_step(struct disk_rq *rq, int err);
static void commit_start(struct vhdx *v);

static void step_io(struct vhdx *v, enum disk_op op, uint64_t off, void *buf, uint64_t len,
                    void (*done)(struct disk_rq *, int))
{
    struct vhdx_commit *c = &v->c;

    c->iov[0] = (struct iovec){ buf, len };
    c->rq = (struct disk_rq){ .op = op, .off = off, .len = len, .iov = c->iov,
                              .n_iov = op == DISK_WRITE, .done = done,
                              .flags = op == DISK_WRITE_ZEROES ? DISK_UNMAP : 0 };
    disk_submit(v->file, &c->rq);
}

static uint64_t slot_off(unsigned slot)
{
    return slot ? VHDX_HEADER2_OFF : VHDX_HEADER1_OFF;
}

/* The next header into the slot that is not current; it becomes current when flushed. */
static void next_header(struct vhdx *v)
{
    v->hdr.seq++;
    v->slot = !v->slot;
    vhdx_header_encode(&v->hdr, v->header_page);
}

static void begin_end(struct vhdx *v, int err)
{
    v->phase = err ? VHDX_IDLE : VHDX_OPEN;
    if (err)
        rq_list_finish(&v->parked, err);
    else
        rq_list_resume(&v->parked, &v->disk);
    if (v->flushes.first && !v->c.running)
        commit_start(v);
}

static void first_entry(struct vhdx *v)
{
    struct vhdx_log_entry e = { .tail = 0, .seq = 1, .flushed = v->file->size,
                                .last = v->file->size };

    guid_random(v->hdr.log_guid);
    guid_random(v->hdr.file_guid);
    if (!guid_is_zero(v->data_guid))
        memcpy(v->hdr.data_guid, v->data_guid, 16);
    else
        guid_random(v->hdr.data_guid);
    vhdx_log_entry_encode(v->header_page, NULL, 0, v->hdr.log_guid, &e);
    v->log.seq = 1;
    v->log.tail = 0;
    v->log.head = v->log.applied = VHDX_PAGE;
    v->hdr.log_version = 0;
}

/* The holes are durable: they may be handed out. */
static void holes_to_free(struct vhdx *v)
{
    for (size_t i = 0; i < v->holes.n && !v->params.fixed; i++)
        if (vhdx_extents_add(&v->free, v->holes.e[i].off, v->holes.e[i].len) < 0)
            break;
    v->holes.n = 0;
}

static void begin_run(struct vhdx *v)
{
    struct vhdx_commit *c = &v->c;

    switch (c->step++) {
    case 0: /* what lies behind the last block may be anything */
        if (!v->params.fixed && v->file->growable && v->file->size != v->end) {
            step_io(v, DISK_TRUNCATE, v->end, NULL, 0, begin_step);
            return;
        }
        c->step++;
        __attribute__((fallthrough));
    case 1:
        if (!v->params.fixed && c->next_hole < v->holes.n) {
            struct vhdx_extent *h = &v->holes.e[c->next_hole++];
            c->step--;
            step_io(v, DISK_WRITE_ZEROES, h->off, NULL, h->len, begin_step);
            return;
        }
        first_entry(v);
        c->step = 3;
        step_io(v, DISK_WRITE, v->hdr.log_off, v->header_page, VHDX_PAGE, begin_step);
        return;
    case 3:
    case 5:
    case 7:
        step_io(v, DISK_FLUSH, 0, NULL, 0, begin_step);
        return;
    case 4:
    case 6:
        next_header(v);
        step_io(v, DISK_WRITE, slot_off(v->slot), v->header_page, VHDX_HEADER_SIZE, begin_step);
        return;
    default:
        holes_to_free(v);
        v->durable_size = v->file->size;
        begin_end(v, 0);
    }
}

static void begin_step(struct disk_rq *rq, int err)
{
    struct vhdx *v = container_of(rq, struct vhdx, c.rq);

    if (err)
        begin_end(v, err);
    else
        begin_run(v);
}

void vhdx_begin(struct vhdx *v, struct disk_rq *rq)
{
    if (v->phase == VHDX_BROKEN || v->hdr.seq >= UINT64_MAX - 16) {
        disk_finish_soon(&v->disk, rq, -EIO);
        return;
    }
    rq_list_add(&v->parked, rq);
    if (v->phase == VHDX_BEGINNING || v->c.running)
        return; /* a flush in flight starts it when it is done */
    v->phase = VHDX_BEGINNING;
    v->c.step = 0;
    v->c.next_hole = 0;
    begin_run(v);
}

/* ---- commit ---------------------------------------------------------------------------------- */

enum { STEP_SIZE, STEP_FIRST_FLUSH, STEP_ENTRY, STEP_ENTRY_REST, STEP_ENTRY_DONE, STEP_DURABLE, STEP_PUNCH,
       STEP_PUNCHED, STEP_LAST };

static void commit_run(struct vhdx *v);

static void commit_end(struct vhdx *v, int err)
{
    /* After a failed commit nobody knows what is durable: no more changes until reopened. */
    if (err && v->phase == VHDX_OPEN)
        v->phase = VHDX_BROKEN;
    batch_unpin(&v->c.batch);
    rq_list_finish(&v->c.waiters, err);
    v->c.running = false;
    if (v->phase == VHDX_BROKEN) { /* what failed is dirty no more: another round would succeed */
        rq_list_finish(&v->flushes, -EIO);
        return;
    }
    if (v->parked.first && v->phase == VHDX_IDLE) {
        v->phase = VHDX_BEGINNING;
        v->c.step = 0;
        v->c.next_hole = 0;
        begin_run(v);
    } else if (v->flushes.first) {
        commit_start(v);
    } else {
        vhdx_commit_if_many(v);
    }
}

static void commit_step(struct disk_rq *rq, int err)
{
    struct vhdx *v = container_of(rq, struct vhdx, c.rq);

    if (rq->op == DISK_FLUSH && !err) {
        v->durable_size = v->c.size_at_flush;
        v->log.tail = v->c.applied_at_flush;
    }
    if (err)
        commit_end(v, err);
    else
        commit_run(v);
}

static void flush_file(struct vhdx *v)
{
    v->c.size_at_flush = v->file->size;
    v->c.applied_at_flush = v->log.applied;
    step_io(v, DISK_FLUSH, 0, NULL, 0, commit_step);
}

static int make_room(struct vhdx *v)
{
    struct vhdx_commit *c = &v->c;
    uint32_t most = v->hdr.log_len / VHDX_PAGE;
    size_t room = MIN((size_t)PAGES_MAX, (size_t)(most - most / 64 - 6));

    if (c->batch.room)
        return 0;
    free(c->entry);
    free(c->pages);
    c->entry = aligned_alloc(VHDX_PAGE, vhdx_log_entry_size(room));
    c->pages = calloc(room, sizeof *c->pages);
    return c->entry && c->pages ? batch_init(&c->batch, v->file, VHDX_PAGE, room) : -ENOMEM;
}

static void snap_bat_page(struct vhdx *v, uint32_t page)
{
    uint8_t *to = batch_add(&v->c.batch, v->regions.bat.off + (uint64_t)page * VHDX_PAGE,
                            VHDX_PAGE);
    uint64_t first = (uint64_t)page * BAT_A_PAGE;

    memset(to, 0, VHDX_PAGE);
    for (uint64_t i = first; i < MIN(first + BAT_A_PAGE, v->geo.n_bat); i++)
        put_le64(to + (i - first) * 8, v->bat[i]);
}

/* Copy dirty pages, bitmaps first, then the BAT from its end: so each prefix of the log is
 * consistent, as a PARTIAL entry's bitmap and the entry of that stand before it. */
static void snapshot(struct vhdx *v)
{
    struct vhdx_commit *c = &v->c;

    c->batch.n = 0;
    batch_add_bitmaps(&c->batch, &v->bits);
    dirty_set_sort(&v->bat_dirty);
    while (c->batch.n < c->batch.room && v->bat_dirty.n)
        snap_bat_page(v, dirty_set_take(&v->bat_dirty));
    c->more = pages_dirty(v);
    if (c->more)
        return;
    v->need_order = false;
    /* Only now are the entries in that gave these blocks up. */
    for (size_t i = 0; i < c->n_freed; i++)
        if (vhdx_extents_add(&v->punch, v->freed.e[i].off, v->freed.e[i].len) < 0)
            break;
    v->freed.n -= c->n_freed;
    if (c->n_freed)
        memmove(v->freed.e, v->freed.e + c->n_freed, v->freed.n * sizeof *v->freed.e);
    c->n_freed = 0;
}

static uint32_t log_used(const struct vhdx *v)
{
    return (v->log.head + v->hdr.log_len - v->log.tail) % v->hdr.log_len;
}

/* One sector stays free, so that head = tail means empty. */
static bool log_fits(const struct vhdx *v, uint32_t n)
{
    return log_used(v) + n + VHDX_PAGE <= v->hdr.log_len;
}

static void write_entry(struct vhdx *v)
{
    struct vhdx_commit *c = &v->c;
    const struct batch *b = &c->batch;
    uint32_t n = vhdx_log_entry_size(b->n);
    uint32_t first = MIN(n, v->hdr.log_len - v->log.head);
    struct vhdx_log_entry e = {
        .tail = v->log.tail == v->log.head ? v->log.head : v->log.tail, .seq = ++v->log.seq,
        .flushed = MIN(v->durable_size, v->file->size), .last = MAX(v->end, v->durable_size),
    };

    for (size_t i = 0; i < b->n; i++)
        c->pages[i] = (struct vhdx_log_page){ b->rq[i].off, b->iov[i].iov_base };
    vhdx_log_entry_encode(c->entry, c->pages, b->n, v->hdr.log_guid, &e);
    TRACE("disk", "vhdx_log", "entry %llu, %zu pages, at %#x, tail %#x",
          (unsigned long long)e.seq, b->n, v->log.head, e.tail);
    if (first == n) {
        step_io(v, DISK_WRITE, v->hdr.log_off + v->log.head, c->entry, n, commit_step);
    } else { /* around the end: two requests, one after the other */
        c->step = STEP_ENTRY_REST;
        c->n_before_wrap = first;
        step_io(v, DISK_WRITE, v->hdr.log_off + v->log.head, c->entry, first, commit_step);
    }
}

static void batch_written(struct batch *b, int err)
{
    struct vhdx *v = container_of(b, struct vhdx, c.batch);

    if (err) {
        commit_end(v, err);
        return;
    }
    v->log.applied = v->log.head;
    batch_unpin(b);
    if (v->c.more) /* they did not fit into one entry */
        v->c.step = STEP_SIZE;
    commit_run(v);
}

/* Blocks whose freeing is durable and that nobody is reading or writing any more. */
static bool punch_next(struct vhdx *v)
{
    if (!v->punch.n || v->flying[!v->epoch])
        return false;
    struct vhdx_extent e = v->punch.e[--v->punch.n];
    if (vhdx_extents_add(&v->holes, e.off, e.len) < 0)
        return false;
    step_io(v, DISK_WRITE_ZEROES, e.off, NULL, e.len, commit_step);
    return true;
}

/* The order of the switch is the order of time. */
static void commit_run(struct vhdx *v)
{
    struct vhdx_commit *c = &v->c;
    uint32_t n;

    switch (c->step++) {
    case STEP_SIZE:
        if (!pages_dirty(v)) {
            c->step = STEP_LAST;
            flush_file(v);
            return;
        }
        if (v->file->growable && v->file->size < v->end) {
            step_io(v, DISK_TRUNCATE, v->end, NULL, 0, commit_step);
            return;
        }
        c->step++;
        __attribute__((fallthrough));
    case STEP_FIRST_FLUSH:
        n = (uint32_t)MIN(c->batch.room, v->bat_dirty.n + v->bits.n_dirty);
        bool flush_first = v->need_order || !log_fits(v, vhdx_log_entry_size(n));
        snapshot(v); /* bits that are set from now on wait for the next round */
        if (flush_first) {
            flush_file(v);
            return;
        }
        __attribute__((fallthrough));
    case STEP_ENTRY:
        c->step = STEP_ENTRY_DONE;
        write_entry(v);
        return;
    case STEP_ENTRY_REST: /* the second part of an entry that wraps */
        n = vhdx_log_entry_size(c->batch.n) - c->n_before_wrap;
        step_io(v, DISK_WRITE, v->hdr.log_off, c->entry + c->n_before_wrap, n, commit_step);
        return;
    case STEP_ENTRY_DONE:
        v->log.head = (v->log.head + vhdx_log_entry_size(c->batch.n)) % v->hdr.log_len;
        flush_file(v);
        return;
    case STEP_DURABLE:
        if (!c->more)
            rq_list_finish(&v->c.waiters, 0);
        batch_write(&c->batch, batch_written);
        return;
    case STEP_PUNCH:
        if (punch_next(v)) {
            c->step--;
            return;
        }
        if (v->holes.n) { /* they must be durable before they are handed out */
            flush_file(v);
            return;
        }
        break;
    case STEP_PUNCHED:
        holes_to_free(v);
        break;
    default:
        break;
    }
    commit_end(v, 0);
}

static void commit_start(struct vhdx *v)
{
    struct vhdx_commit *c = &v->c;

    c->running = true;
    c->waiters = rq_list_take(&v->flushes);
    c->step = STEP_SIZE;
    if (pages_dirty(v) && make_room(v) < 0) {
        commit_end(v, -ENOMEM);
        return;
    }
    c->more = false;
    c->n_freed = 0;
    if (!v->flying[!v->epoch]) {
        /* A new epoch.  What was freed up to now can only be in use by requests of the old one,
         * and is punched when that has drained. */
        v->epoch = !v->epoch;
        c->n_freed = v->freed.n;
    }
    commit_run(v);
}

void vhdx_flush(struct vhdx *v, struct disk_rq *rq)
{
    if (v->disk.read_only) {
        disk_finish_soon(&v->disk, rq, 0);
        return;
    }
    if (v->phase == VHDX_BROKEN) {
        disk_finish_soon(&v->disk, rq, -EIO);
        return;
    }
    rq_list_add(&v->flushes, rq);
    if (!v->c.running && v->phase != VHDX_BEGINNING)
        commit_start(v);
}

void vhdx_commit_if_many(struct vhdx *v)
{
    if (v->phase == VHDX_OPEN && !v->c.running &&
        (v->bat_dirty.n + v->bits.n_dirty >= DIRTY_MANY || v->freed.n >= FREED_MANY))
        commit_start(v);
}

/* ---- blocking -------------------------------------------------------------------------------- */

int vhdx_header_write(struct vhdx *v)
{
    int r = 0;

    for (int i = 0; i < 2 && r == 0; i++) {
        next_header(v);
        r = disk_write_sync(v->file, slot_off(v->slot), v->header_page, VHDX_HEADER_SIZE);
        if (r == 0)
            r = disk_flush_sync(v->file);
    }
    return r;
}

static bool settled(const struct vhdx *v)
{
    return !v->c.running && v->phase != VHDX_BEGINNING && !v->growing;
}

/* Commits may go on after the flush that they answered: let the loop turn until they are done. */
static int settle(struct vhdx *v)
{
    int r = 0;

    do {
        r = disk_flush_sync(&v->disk);
    } while (r == 0 && v->phase == VHDX_OPEN && (pages_dirty(v) || v->c.running));
    while (!settled(v))
        disk_flush_sync(v->file);
    return r;
}

int vhdx_shut(struct vhdx *v, struct err *err)
{
    if (v->phase != VHDX_OPEN && v->phase != VHDX_BROKEN && settled(v))
        return 0;
    int r = settle(v);
    if (r < 0 || v->phase != VHDX_OPEN)
        return err_errno(err, r < 0 ? -r : EIO, "the last changes of '%s' metadata failed",
                         v->disk.kind);
    r = disk_flush_sync(v->file);
    memset(v->hdr.log_guid, 0, 16);
    if (r == 0)
        r = vhdx_header_write(v);
    v->phase = VHDX_IDLE;
    if (r == 0 && !v->params.fixed && v->file->growable && v->file->size > v->end) {
        r = disk_rw_sync(v->file, DISK_TRUNCATE, v->end, NULL, 0, 0);
        if (r == 0)
            r = disk_flush_sync(v->file);
    }
    return r < 0 ? err_errno(err, -r, "the file could not be closed cleanly") : 0;
}

int vhdx_begin_sync(struct vhdx *v, struct err *err)
{
    if (v->phase == VHDX_OPEN)
        return 0;
    int r = disk_begin_sync(&v->disk);
    return r < 0 ? err_errno(err, -r, "the log could not be opened") : 0;
}

int vhdx_log_pages_sync(struct vhdx *v, struct vhdx_log_page *pages, size_t n, struct err *err)
{
    struct vhdx_commit *c = &v->c;
    int r = vhdx_begin_sync(v, err);

    if (r < 0)
        return r;
    if ((r = settle(v)) < 0 || (r = make_room(v)) < 0)
        return err_errno(err, -r, "metadata could not be changed");
    assert(n <= c->batch.room);
    r = disk_flush_sync(v->file);
    v->log.tail = v->log.applied;
    struct vhdx_log_entry e = { .tail = v->log.head, .seq = ++v->log.seq,
                                .flushed = v->durable_size,
                                .last = MAX(v->end, v->durable_size) };
    uint32_t len = vhdx_log_entry_size(n), first = MIN(len, v->hdr.log_len - v->log.head);
    vhdx_log_entry_encode(c->entry, pages, n, v->hdr.log_guid, &e);
    if (r == 0)
        r = disk_write_sync(v->file, v->hdr.log_off + v->log.head, c->entry, first);
    if (r == 0 && first < len)
        r = disk_write_sync(v->file, v->hdr.log_off, c->entry + first, len - first);
    if (r == 0)
        r = disk_flush_sync(v->file);
    for (size_t i = 0; i < n && r == 0; i++)
        r = disk_write_sync(v->file, pages[i].off, pages[i].data, VHDX_PAGE);
    if (r == 0)
        r = disk_flush_sync(v->file);
    v->log.head = (v->log.head + len) % v->hdr.log_len;
    v->log.applied = v->log.tail = v->log.head;
    return r < 0 ? err_errno(err, -r, "metadata could not be changed") : 0;
}
