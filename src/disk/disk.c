/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk.c - the one checked door to all disks, lists, splitting, blocking helpers.
 *
 * Called by everybody above; calls a layer through its disk_ops.  See disk.h, layer.h. */
#include "disk/disk.h"

#include <assert.h>
#include <errno.h>

#include "base/trace.h"
#include "disk/io.h"
#include "disk/layer.h"

/* What is wrong with 'rq' on 'd': 0 or -errno. */
static int rq_check(const struct disk *d, const struct disk_rq *rq)
{
    switch (rq->op) {
    case DISK_FLUSH:
        return 0;
    case DISK_TRUNCATE:
        return d->read_only ? -EROFS : d->growable ? 0 : -EINVAL;
    case DISK_READ:
    case DISK_WRITE:
    case DISK_DISCARD:
    case DISK_WRITE_ZEROES:
        break;
    default:
        return -EINVAL;
    }
    if (((rq->off | rq->len) & (d->block - 1)) != 0)
        return -EINVAL;
    if (!d->growable && !range_ok(rq->off, rq->len, d->size))
        return -EINVAL;
    if (rq->op != DISK_READ && d->read_only)
        return -EROFS;
    if ((rq->op == DISK_READ || rq->op == DISK_WRITE) &&
        (rq->n_iov > DISK_IOV_MAX || rq->len > DISK_LEN_MAX))
        return -EINVAL;
    return 0;
}

void disk_submit(struct disk *d, struct disk_rq *rq)
{
    int r = rq_check(d, rq);

    assert(rq->done);
    TRACE("disk", "submit", "%s rq %p op %d off %#llx len %#llx flags %#x", d->kind, (void *)rq,
          (int)rq->op, (unsigned long long)rq->off, (unsigned long long)rq->len, rq->flags);
    if (unlikely(r < 0))
        disk_finish_soon(d, rq, r);
    else if (unlikely(rq->len == 0 && rq->op != DISK_FLUSH && rq->op != DISK_TRUNCATE))
        disk_finish_soon(d, rq, 0);
    else
        d->ops->submit(d, rq);
}

void disk_push(struct disk_rq *rq, void (*done)(struct disk_rq *, int, void *), void *ctx)
{
    assert(rq->n_frames < DISK_STACK_MAX);
    rq->frames[rq->n_frames++] = (struct disk_frame){ done, ctx, rq->off, 0 };
}

uint64_t disk_frame_aux(const struct disk_rq *rq)
{
    return rq->frames[rq->n_frames].aux;
}

void disk_finish(struct disk_rq *rq, int err)
{
    if (rq->n_frames) {
        struct disk_frame *f = &rq->frames[--rq->n_frames];

        rq->off = f->off;
        f->done(rq, err, f->ctx);
        return;
    }
    TRACE("disk", "finish", "rq %p err %d", (void *)rq, err);
    rq->done(rq, err);
}

void disk_finish_soon(struct disk *d, struct disk_rq *rq, int err)
{
    io_finish_soon(d->io, rq, err);
}

/* ---- buffers --------------------------------------------------------------------------------- */

unsigned iov_slice(const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t len,
                   struct iovec *to)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_iov && len; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t take = MIN(len, iov[i].iov_len - skip);
        to[n++] = (struct iovec){ (char *)iov[i].iov_base + skip, take };
        len -= take;
        skip = 0;
    }
    return n;
}

void iov_zero(const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t len)
{
    for (unsigned i = 0; i < n_iov && len; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t take = MIN(len, iov[i].iov_len - skip);
        memset((char *)iov[i].iov_base + skip, 0, take);
        len -= take;
        skip = 0;
    }
}

uint64_t iov_len(const struct iovec *iov, unsigned n_iov)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < n_iov; i++)
        n += iov[i].iov_len;
    return n;
}

/* ---- lists ----------------------------------------------------------------------------------- */

void rq_list_add(struct rq_list *l, struct disk_rq *rq)
{
    if (!l->first)
        l->last = &l->first;
    rq->next = NULL;
    *l->last = rq;
    l->last = &rq->next;
}

struct rq_list rq_list_take(struct rq_list *l)
{
    struct rq_list all = *l;

    *l = (struct rq_list){ 0 };
    return all;
}

void rq_list_finish(struct rq_list *l, int err)
{
    for (struct disk_rq *rq = rq_list_take(l).first, *next; rq; rq = next) {
        next = rq->next;
        disk_finish(rq, err);
    }
}

void rq_list_resume(struct rq_list *l, struct disk *d)
{
    for (struct disk_rq *rq = rq_list_take(l).first, *next; rq; rq = next) {
        next = rq->next;
        d->ops->submit(d, rq);
    }
}

/* ---- splitting ------------------------------------------------------------------------------- */

void disk_split_begin(struct disk_rq *rq)
{
    rq->n_parts = 1; /* the caller's own hold */
    rq->part_err = 0;
}

static void part_back(struct disk_rq *whole, int err)
{
    if (err && !whole->part_err)
        whole->part_err = err;
    if (--whole->n_parts == 0)
        disk_finish(whole, whole->part_err);
}

static void part_done(struct disk_rq *rq, int err)
{
    struct disk_part *p = container_of(rq, struct disk_part, rq);
    struct disk_rq *whole = p->whole;

    if (p->iov != p->few)
        free(p->iov);
    io_part_put(p->io, p);
    part_back(whole, err);
}

struct disk_rq *disk_split(struct disk_io *io, struct disk_rq *rq, uint64_t off, uint64_t len)
{
    struct disk_part *p = io_part_get(io);

    if (!p) {
        rq->part_err = -ENOMEM;
        return NULL;
    }
    p->iov = p->few;
    if (rq->n_iov > ARRAY_LEN(p->few)) {
        p->iov = malloc(rq->n_iov * sizeof *p->iov);
        if (!p->iov) {
            io_part_put(io, p);
            rq->part_err = -ENOMEM;
            return NULL;
        }
    }
    p->whole = rq;
    p->rq.op = rq->op;
    p->rq.flags = rq->flags;
    p->rq.off = off;
    p->rq.len = len;
    p->rq.iov = p->iov;
    p->rq.n_iov = iov_slice(rq->iov, rq->n_iov, off - rq->off, len, p->iov);
    p->rq.n_frames = 0;
    p->rq.done = part_done;
    rq->n_parts++;
    return &p->rq;
}

void disk_split_end(struct disk *d, struct disk_rq *rq, int err)
{
    if (err && !rq->part_err)
        rq->part_err = err;
    if (--rq->n_parts == 0)
        disk_finish_soon(d, rq, rq->part_err);
}

/* ---- control path ---------------------------------------------------------------------------- */

static struct disk *no_below(struct disk *d)
{
    return NULL;
}

struct disk *disk_below(struct disk *d)
{
    return (d->ops->below ? d->ops->below : no_below)(d);
}

int disk_close(struct disk *d, struct err *err)
{
    return d ? d->ops->close(d, err) : 0;
}

int disk_map(struct disk *d, uint64_t off, uint64_t len, struct disk_extent *ret)
{
    if (!range_ok(off, len, d->size) || len == 0)
        return -EINVAL;
    *ret = (struct disk_extent){ .off = off, .len = len, .kind = DISK_EXT_DATA,
                                 .file_off = UINT64_MAX };
    return d->ops->map ? d->ops->map(d, off, len, ret) : 0;
}

void disk_init_over(struct disk *d, const struct disk_ops *ops, struct disk *below)
{
    *d = *below;
    d->ops = ops;
    d->kind = ops->name;
    d->stack = below->stack + 1;
}

struct sync_rq {
    struct disk_rq rq;
    bool done;
    int err;
};

static void sync_done(struct disk_rq *rq, int err)
{
    struct sync_rq *s = container_of(rq, struct sync_rq, rq);

    s->err = err;
    s->done = true;
}

int disk_rw_sync(struct disk *d, enum disk_op op, uint64_t off, void *buf, uint64_t len,
                 uint32_t flags)
{
    bool data = op == DISK_READ || op == DISK_WRITE;
    struct iovec iov;
    struct sync_rq s = { 0 };

    do {
        uint64_t n = data ? MIN(len, (uint64_t)DISK_LEN_MAX) : len;

        iov = (struct iovec){ buf, n };
        s.rq = (struct disk_rq){ .op = op, .flags = flags, .off = off, .len = n,
                                 .iov = data ? &iov : NULL, .n_iov = data, .done = sync_done };
        s.done = false;
        disk_submit(d, &s.rq);
        loop_run_until(d->loop, &s.done);
        if (s.err)
            return s.err;
        buf = data ? (char *)buf + n : NULL;
        off += n;
        len -= n;
    } while (len);
    return 0;
}

int disk_begin_sync(struct disk *d)
{
    struct sync_rq s = { .rq = { .op = DISK_DISCARD, .done = sync_done } };

    d->ops->submit(d, &s.rq); /* disk_submit() would not pass on a request of nothing */
    loop_run_until(d->loop, &s.done);
    return s.err;
}

int disk_read_sync(struct disk *d, uint64_t off, void *buf, uint64_t len)
{
    return disk_rw_sync(d, DISK_READ, off, buf, len, 0);
}

int disk_write_sync(struct disk *d, uint64_t off, const void *buf, uint64_t len)
{
    return disk_rw_sync(d, DISK_WRITE, off, (void *)(uintptr_t)buf, len, 0);
}

int disk_flush_sync(struct disk *d)
{
    return disk_rw_sync(d, DISK_FLUSH, 0, NULL, 0, 0);
}
