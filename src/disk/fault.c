/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fault.c - a layer whose requests fail by rules; see layers.h. */
#include <errno.h>

#include "disk/layer.h"
#include "disk/layers.h"

#define RULES_MAX 16

struct fault {
    struct disk disk;
    struct disk *below;
    struct disk_fault rule[RULES_MAX];
    unsigned n;
    uint64_t hits;
};

static bool matches(const struct disk_fault *f, const struct disk_rq *rq)
{
    if (!f->any_op && f->op != rq->op)
        return false;
    return !f->len || rq->op == DISK_FLUSH ||
           (rq->off < f->off + f->len && f->off < rq->off + rq->len);
}

/* The rule that hits 'rq' now; NULL: it passes. */
static struct disk_fault *due(struct fault *f, const struct disk_rq *rq)
{
    for (unsigned i = 0; i < f->n; i++) {
        struct disk_fault *r = &f->rule[i];
        if (!matches(r, rq))
            continue;
        if (r->after) {
            r->after--;
            continue;
        }
        if (r->times && --r->times == 0) {
            /* The last one: the rule is over after it.  UINT64_MAX never passes. */
            r->after = UINT64_MAX;
        }
        return r;
    }
    return NULL;
}

static void fault_submit(struct disk *d, struct disk_rq *rq)
{
    struct fault *f = container_of(d, struct fault, disk);
    struct disk_fault *r = due(f, rq);

    if (!r) {
        disk_submit(f->below, rq);
        return;
    }
    f->hits++;
    uint64_t half = ALIGN_DOWN(rq->len / 2, (uint64_t)d->block);
    if (!r->torn || rq->op != DISK_WRITE || !half) {
        disk_finish_soon(d, rq, r->err);
        return;
    }
    disk_split_begin(rq);
    struct disk_rq *part = disk_split(d->io, rq, rq->off, half);
    if (part)
        disk_submit(f->below, part);
    disk_split_end(d, rq, r->err);
}

static int fault_close(struct disk *d, struct err *err)
{
    struct fault *f = container_of(d, struct fault, disk);
    int r = disk_close(f->below, err);

    free(f);
    return r;
}

static int fault_map(struct disk *d, uint64_t off, uint64_t len, struct disk_extent *ret)
{
    return disk_map(container_of(d, struct fault, disk)->below, off, len, ret);
}

static struct disk *fault_below(struct disk *d)
{
    return container_of(d, struct fault, disk)->below;
}

static const struct disk_ops fault_ops = {
    .name = "fault", .submit = fault_submit, .close = fault_close, .map = fault_map,
    .below = fault_below,
};

struct disk *disk_fault_new(struct disk *below)
{
    struct fault *f = below->stack < DISK_STACK_MAX ? calloc(1, sizeof *f) : NULL;

    if (!f)
        return NULL;
    disk_init_over(&f->disk, &fault_ops, below);
    f->below = below;
    return &f->disk;
}

int disk_fault_add(struct disk *d, const struct disk_fault *rule)
{
    struct fault *f = container_of(d, struct fault, disk);

    if (f->n == RULES_MAX)
        return -ENOSPC;
    f->rule[f->n++] = *rule;
    return 0;
}

void disk_fault_clear(struct disk *d)
{
    container_of(d, struct fault, disk)->n = 0;
}

uint64_t disk_fault_hits(struct disk *d)
{
    return container_of(d, struct fault, disk)->hits;
}
