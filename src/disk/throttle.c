/* SPDX-License-Identifier: GPL-2.0-or-later */
/* throttle.c - limits of requests and bytes a second, and plain delay; see layers.h.
 *
 * Throttle: a line of requests in order; each has a time before which it may not go, by the clock
 * of the loop.  A tenth of a second of unused allowance may be caught up.  Flushes are free but
 * keep their place.  Delay: each answer waits in a line sorted by its time. */
#include <errno.h>

#include "disk/layer.h"
#include "disk/layers.h"

#define BURST_NS (NS_PER_S / 10)

struct throttle {
    struct disk disk;
    struct disk *below;
    struct disk_limits limits;
    uint64_t ops_at, bytes_at; /* when the allowance of each is used up to */
    struct disk_rq *first, **last;
    struct timer timer;
};

static uint64_t now(struct throttle *t)
{
    return clock_now_ns(loop_clock(t->disk.loop));
}

static uint64_t units(const struct throttle *t, const struct disk_rq *rq)
{
    uint64_t unit = t->limits.io_unit ? t->limits.io_unit : 8192;

    return MAX((rq->len + unit - 1) / unit, UINT64_C(1));
}

static uint64_t cost_ns(uint64_t n, uint64_t per_s)
{
    return per_s ? (uint64_t)((__uint128_t)n * NS_PER_S / per_s) : 0;
}

/* Let go what may go; arm the timer for the first that may not. */
static void run_line(struct throttle *t)
{
    uint64_t at = now(t), floor = at > BURST_NS ? at - BURST_NS : 0;

    while (t->first) {
        struct disk_rq *rq = t->first;
        uint64_t due = MAX(t->limits.iops ? t->ops_at : 0,
                           t->limits.bytes_per_s ? t->bytes_at : 0);
        if (due > at && rq->op != DISK_FLUSH) {
            timer_arm(&t->timer, due);
            return;
        }
        t->first = rq->next;
        if (!t->first)
            t->last = &t->first;
        if (rq->op != DISK_FLUSH) {
            t->ops_at = MAX(t->ops_at, floor) + cost_ns(units(t, rq), t->limits.iops);
            t->bytes_at = MAX(t->bytes_at, floor) + cost_ns(rq->len, t->limits.bytes_per_s);
        }
        disk_submit(t->below, rq);
    }
}

static void throttle_expired(struct timer *timer)
{
    run_line(container_of(timer, struct throttle, timer));
}

static void throttle_submit(struct disk *d, struct disk_rq *rq)
{
    struct throttle *t = container_of(d, struct throttle, disk);

    rq->next = NULL;
    *t->last = rq;
    t->last = &rq->next;
    if (t->first == rq)
        run_line(t);
}

static int throttle_close(struct disk *d, struct err *err)
{
    struct throttle *t = container_of(d, struct throttle, disk);
    int r = disk_close(t->below, err);

    timer_disarm(&t->timer);
    free(t);
    return r;
}

static int throttle_map(struct disk *d, uint64_t off, uint64_t len, struct disk_extent *ret)
{
    return disk_map(container_of(d, struct throttle, disk)->below, off, len, ret);
}

static struct disk *throttle_below(struct disk *d)
{
    return container_of(d, struct throttle, disk)->below;
}

static const struct disk_ops throttle_ops = {
    .name = "throttle", .submit = throttle_submit, .close = throttle_close,
    .map = throttle_map, .below = throttle_below,
};

struct disk *disk_throttle_new(struct disk *below, const struct disk_limits *limits)
{
    struct throttle *t = below->stack < DISK_STACK_MAX ? calloc(1, sizeof *t) : NULL;

    if (!t)
        return NULL;
    disk_init_over(&t->disk, &throttle_ops, below);
    t->below = below;
    t->limits = *limits;
    t->last = &t->first;
    timer_init(&t->timer, below->loop, throttle_expired);
    return &t->disk;
}

void disk_throttle_set(struct disk *d, const struct disk_limits *limits)
{
    struct throttle *t = container_of(d, struct throttle, disk);

    t->limits = *limits;
    t->ops_at = t->bytes_at = 0; /* a new account */
    timer_disarm(&t->timer);
    run_line(t);
}

/* ---- delay ----------------------------------------------------------------------------------- */

struct delay {
    struct disk disk;
    struct disk *below;
    uint64_t ns[3]; /* read, write, flush */
    struct disk_rq *line; /* by io_res: the time of the answer */
    struct timer timer;
};

static void delay_expired(struct timer *timer)
{
    struct delay *y = container_of(timer, struct delay, timer);
    uint64_t at = clock_now_ns(loop_clock(y->disk.loop));

    while (y->line && (uint64_t)y->line->io_res <= at) {
        struct disk_rq *rq = y->line;
        y->line = rq->next;
        disk_submit(y->below, rq);
    }
    if (y->line)
        timer_arm(&y->timer, (uint64_t)y->line->io_res);
}

static void delay_submit(struct disk *d, struct disk_rq *rq)
{
    struct delay *y = container_of(d, struct delay, disk);
    uint64_t ns = y->ns[rq->op == DISK_READ ? 0 : rq->op == DISK_FLUSH ? 2 : 1];
    struct disk_rq **at = &y->line;

    rq->io_res = (int64_t)(clock_now_ns(loop_clock(d->loop)) + ns);
    while (*at && (*at)->io_res <= rq->io_res)
        at = &(*at)->next;
    rq->next = *at;
    *at = rq;
    timer_arm(&y->timer, (uint64_t)y->line->io_res);
}

static int delay_close(struct disk *d, struct err *err)
{
    struct delay *y = container_of(d, struct delay, disk);
    int r = disk_close(y->below, err);

    timer_disarm(&y->timer);
    free(y);
    return r;
}

static int delay_map(struct disk *d, uint64_t off, uint64_t len, struct disk_extent *ret)
{
    return disk_map(container_of(d, struct delay, disk)->below, off, len, ret);
}

static struct disk *delay_below(struct disk *d)
{
    return container_of(d, struct delay, disk)->below;
}

static const struct disk_ops delay_ops = {
    .name = "delay", .submit = delay_submit, .close = delay_close, .map = delay_map,
    .below = delay_below,
};

struct disk *disk_delay_new(struct disk *below, uint64_t read_ns, uint64_t write_ns,
                            uint64_t flush_ns)
{
    struct delay *y = below->stack < DISK_STACK_MAX ? calloc(1, sizeof *y) : NULL;

    if (!y)
        return NULL;
    disk_init_over(&y->disk, &delay_ops, below);
    y->below = below;
    y->ns[0] = read_ns;
    y->ns[1] = write_ns;
    y->ns[2] = flush_ns;
    timer_init(&y->timer, below->loop, delay_expired);
    return &y->disk;
}
