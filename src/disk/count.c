/* SPDX-License-Identifier: GPL-2.0-or-later */
/* count.c - the counting layer: how much a guest asks of a disk, and how long it waits; see layers.h. */
#include "disk/layer.h"
#include "disk/layers.h"

struct counter {
    struct disk disk;
    struct disk *below;
    struct disk_counts counts;
};

static struct counter *counter_of(struct disk *d)
{
    return container_of(d, struct counter, disk);
}

/* Bucket n: waits below 2^n us. */
static unsigned bucket(uint64_t ns)
{
    uint64_t us = ns / NS_PER_US;
    unsigned n = us ? 64 - (unsigned)__builtin_clzll(us) : 0;

    return MIN(n, DISK_LATENCY_BUCKETS - 1);
}

static void count_back(struct disk_rq *rq, int err, void *ctx)
{
    struct counter *c = ctx;
    uint64_t ns = clock_now_ns(loop_clock(c->disk.loop)) - disk_frame_aux(rq);

    c->counts.latency[bucket(ns)]++;
    c->counts.errors += err != 0;
    disk_finish(rq, err);
}

static void count_submit(struct disk *d, struct disk_rq *rq)
{
    struct counter *c = counter_of(d);

    c->counts.n[rq->op]++;
    c->counts.bytes[rq->op] += rq->len;
    disk_push(rq, count_back, c);
    rq->frames[rq->n_frames - 1].aux = clock_now_ns(loop_clock(d->loop));
    disk_submit(c->below, rq);
}

static int count_close(struct disk *d, struct err *err)
{
    struct counter *c = counter_of(d);
    int r = disk_close(c->below, err);

    free(c);
    return r;
}

static int count_map(struct disk *d, uint64_t off, uint64_t len, struct disk_extent *ret)
{
    return disk_map(counter_of(d)->below, off, len, ret);
}

static struct disk *count_below(struct disk *d)
{
    return counter_of(d)->below;
}

static const struct disk_ops count_ops = {
    .name = "count", .submit = count_submit, .close = count_close, .map = count_map,
    .below = count_below,
};

struct disk *disk_count_new(struct disk *below)
{
    struct counter *c = below->stack < DISK_STACK_MAX ? calloc(1, sizeof *c) : NULL;

    if (!c)
        return NULL;
    disk_init_over(&c->disk, &count_ops, below);
    c->below = below;
    return &c->disk;
}

void disk_count_get(struct disk *count, struct disk_counts *ret)
{
    *ret = counter_of(count)->counts;
}
