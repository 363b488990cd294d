/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mirror.c - writes to two disks, reads from both and compares; and the trace layer.  See layers.h.
 *
 * This one allocates a twin of each request, with a buffer of its own for reads. */
#include <errno.h>

#include "base/trace.h"
#include "disk/layer.h"
#include "disk/layers.h"

struct mirror {
    struct disk disk;
    struct disk *a, *b;
    void (*differs)(void *ctx, uint64_t off, uint64_t len);
    void *ctx;
};

struct twin {
    struct disk_rq rq;
    struct disk_rq *whole;
    struct mirror *m;
    struct iovec iov;
    unsigned left;
    int err;
    uint8_t buf[];
};

static bool same(const struct disk_rq *rq, const uint8_t *p)
{
    for (unsigned i = 0; i < rq->n_iov; i++) {
        if (memcmp(rq->iov[i].iov_base, p, rq->iov[i].iov_len) != 0)
            return false;
        p += rq->iov[i].iov_len;
    }
    return true;
}

static void both_back(struct twin *t, int err)
{
    struct disk_rq *rq = t->whole;

    if (err && !t->err)
        t->err = err;
    if (--t->left)
        return;
    if (!t->err && rq->op == DISK_READ && !same(rq, t->buf)) {
        t->err = -EILSEQ;
        if (t->m->differs)
            t->m->differs(t->m->ctx, rq->off, rq->len);
    }
    err = t->err;
    free(t);
    disk_finish(rq, err);
}

static void twin_done(struct disk_rq *rq, int err)
{
    both_back(container_of(rq, struct twin, rq), err);
}

static void first_back(struct disk_rq *rq, int err, void *ctx)
{
    both_back(ctx, err);
}

static void mirror_submit(struct disk *d, struct disk_rq *rq)
{
    struct mirror *m = container_of(d, struct mirror, disk);
    struct twin *t = malloc(sizeof *t + (rq->op == DISK_READ ? rq->len : 0));

    if (!t) {
        disk_finish_soon(d, rq, -ENOMEM);
        return;
    }
    memset(t, 0, sizeof *t);
    t->whole = rq;
    t->m = m;
    t->left = 2;
    t->iov = (struct iovec){ t->buf, rq->len };
    t->rq = (struct disk_rq){ .op = rq->op, .flags = rq->flags, .off = rq->off, .len = rq->len,
                              .iov = rq->op == DISK_READ ? &t->iov : rq->iov,
                              .n_iov = rq->op == DISK_READ ? 1 : rq->n_iov, .done = twin_done };
    disk_push(rq, first_back, t);
    disk_submit(m->b, &t->rq);
    disk_submit(m->a, rq);
}

static int mirror_close(struct disk *d, struct err *err)
{
    struct mirror *m = container_of(d, struct mirror, disk);
    int r = disk_close(m->a, err), r2 = disk_close(m->b, r < 0 ? NULL : err);

    free(m);
    return r < 0 ? r : r2;
}

static struct disk *mirror_below(struct disk *d)
{
    return container_of(d, struct mirror, disk)->a;
}

static const struct disk_ops mirror_ops = {
    .name = "mirror", .submit = mirror_submit, .close = mirror_close, .below = mirror_below,
};

struct disk *disk_mirror_new(struct disk *a, struct disk *b,
                             void (*differs)(void *ctx, uint64_t off, uint64_t len), void *ctx)
{
    unsigned stack = MAX(a->stack, b->stack);
    bool fits = a->size == b->size && a->block == b->block && stack < DISK_STACK_MAX;
    struct mirror *m = fits ? calloc(1, sizeof *m) : NULL;

    if (!m)
        return NULL;
    disk_init_over(&m->disk, &mirror_ops, a);
    m->disk.stack = stack + 1;
    m->disk.read_only |= b->read_only;
    m->a = a;
    m->b = b;
    m->differs = differs;
    m->ctx = ctx;
    return &m->disk;
}

/* ---- trace ----------------------------------------------------------------------------------- */

struct tracer {
    struct disk disk;
    struct disk *below;
    char name[32];
};

static const char *const op_names[] = { "read", "write", "flush", "discard", "write_zeroes",
                                        "truncate" };

static void trace_back(struct disk_rq *rq, int err, void *ctx)
{
    struct tracer *t = ctx;

    TRACE("disk", "answer", "%s %s %#llx+%#llx err %d us %llu", t->name, op_names[rq->op],
          (unsigned long long)rq->off, (unsigned long long)rq->len, err,
          (unsigned long long)((clock_now_ns(loop_clock(t->disk.loop)) - disk_frame_aux(rq)) /
                               1000));
    disk_finish(rq, err);
}

static void trace_submit(struct disk *d, struct disk_rq *rq)
{
    struct tracer *t = container_of(d, struct tracer, disk);

    TRACE("disk", "request", "%s %s %#llx+%#llx flags %#x", t->name, op_names[rq->op],
          (unsigned long long)rq->off, (unsigned long long)rq->len, rq->flags);
    disk_push(rq, trace_back, t);
    rq->frames[rq->n_frames - 1].aux = clock_now_ns(loop_clock(d->loop));
    disk_submit(t->below, rq);
}

static int trace_close(struct disk *d, struct err *err)
{
    struct tracer *t = container_of(d, struct tracer, disk);
    int r = disk_close(t->below, err);

    free(t);
    return r;
}

static int trace_map(struct disk *d, uint64_t off, uint64_t len, struct disk_extent *ret)
{
    return disk_map(container_of(d, struct tracer, disk)->below, off, len, ret);
}

static struct disk *trace_below(struct disk *d)
{
    return container_of(d, struct tracer, disk)->below;
}

static const struct disk_ops trace_ops = {
    .name = "trace", .submit = trace_submit, .close = trace_close, .map = trace_map,
    .below = trace_below,
};

struct disk *disk_trace_new(struct disk *below, const char *name)
{
    struct tracer *t = below->stack < DISK_STACK_MAX ? calloc(1, sizeof *t) : NULL;

    if (!t)
        return NULL;
    disk_init_over(&t->disk, &trace_ops, below);
    t->below = below;
    snprintf(t->name, sizeof t->name, "%s", name);
    return &t->disk;
}
