/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crash.c - see crash.h.  Called by tests and fuzz targets only. */
#include "disk/crash.h"

#include <errno.h>

#include "disk/io.h"
#include "disk/layer.h"

#define PAGE   4096u
#define SECTOR 512u

struct image {
    uint8_t **page; /* NULL: zeros */
    size_t n;
    uint64_t size;
};

/* A change that may not be durable yet. */
struct change {
    enum disk_op op;
    uint64_t off, len;
    uint8_t *data;
};

struct crash_file {
    struct disk disk;
    struct rng rng;
    struct image now, durable;
    struct change *change;
    size_t n_change, change_room;
    struct disk_rq *waiting;
    size_t n_waiting;
    struct work work;
    uint64_t n_requests, crash_at, fail_at;
    int fail_err;
    bool crashed, order_appends;
};

/* ---- images ---------------------------------------------------------------------------------- */

static uint8_t *page_get(struct image *m, uint64_t i, bool make)
{
    if (i >= m->n) {
        if (!make)
            return NULL;
        size_t n = MAX((size_t)i + 1, m->n * 2);
        uint8_t **p = realloc(m->page, n * sizeof *p);
        if (!p)
            abort();
        memset(p + m->n, 0, (n - m->n) * sizeof *p);
        m->page = p;
        m->n = n;
    }
    if (!m->page[i] && make && !(m->page[i] = calloc(1, PAGE)))
        abort();
    return m->page[i];
}

static void image_write(struct image *m, uint64_t off, const uint8_t *p, uint64_t len)
{
    m->size = MAX(m->size, off + len);
    while (len) {
        uint64_t in = off % PAGE, n = MIN(len, PAGE - in);
        uint8_t *page = page_get(m, off / PAGE, p != NULL);
        if (p)
            memcpy(page + in, p, n);
        else if (page)
            memset(page + in, 0, n);
        p = p ? p + n : NULL;
        off += n;
        len -= n;
    }
}

static void image_read(struct image *m, uint64_t off, uint8_t *p, uint64_t len)
{
    while (len) {
        uint64_t in = off % PAGE, n = MIN(len, PAGE - in);
        uint8_t *page = page_get(m, off / PAGE, false);
        if (page)
            memcpy(p, page + in, n);
        else
            memset(p, 0, n);
        p += n;
        off += n;
        len -= n;
    }
}

static void image_resize(struct image *m, uint64_t size)
{
    for (uint64_t at = size; at < m->size;) { /* what is cut off comes back as zeros */
        uint64_t n = MIN(m->size - at, PAGE - at % PAGE);
        uint8_t *page = page_get(m, at / PAGE, false);
        if (page)
            memset(page + at % PAGE, 0, n);
        at += n;
    }
    m->size = size;
}

static void image_done(struct image *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->page[i]);
    free(m->page);
    *m = (struct image){ 0 };
}

static void image_copy(struct image *to, const struct image *from)
{
    image_done(to);
    for (size_t i = 0; i < from->n; i++)
        if (from->page[i])
            memcpy(page_get(to, i, true), from->page[i], PAGE);
    to->size = from->size;
}

/* ---- changes --------------------------------------------------------------------------------- */

static void change_add(struct crash_file *f, enum disk_op op, uint64_t off, uint64_t len,
                       uint8_t *data)
{
    if (f->n_change == f->change_room) {
        f->change_room = MAX(f->change_room * 2, (size_t)64);
        f->change = realloc(f->change, f->change_room * sizeof *f->change);
        if (!f->change)
            abort();
    }
    f->change[f->n_change++] = (struct change){ op, off, len, data };
}

static void make_durable(struct crash_file *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct change *c = &f->change[i];
        if (c->op == DISK_TRUNCATE)
            image_resize(&f->durable, c->off);
        else
            image_write(&f->durable, c->off, c->data, c->len);
        free(c->data);
    }
    memmove(f->change, f->change + n, (f->n_change - n) * sizeof *f->change);
    f->n_change -= n;
}

/* How likely a sector is kept, in percent: extremes are as interesting as the middle. */
static unsigned keep_percent(struct rng *r)
{
    static const unsigned p[] = { 0, 10, 50, 50, 90, 100 };

    return p[rng_below(r, ARRAY_LEN(p))];
}

static void lose_power(struct crash_file *f)
{
    unsigned keep = keep_percent(&f->rng);
    bool tear = rng_below(&f->rng, 2); /* else whole writes are kept or lost */
    size_t sizes_until = rng_below(&f->rng, f->n_change + 1);
    uint64_t limit = f->durable.size;

    f->crashed = true;
    for (size_t i = 0; i < f->n_change; i++) {
        struct change *c = &f->change[i];
        if (c->op == DISK_TRUNCATE) {
            if (i < sizes_until) {
                image_resize(&f->durable, c->off);
                limit = c->off;
            }
            continue;
        }
        if (i < sizes_until && f->order_appends && c->off + c->len > limit) {
            image_write(&f->durable, c->off, c->data, c->len);
            limit = c->off + c->len;
            continue;
        }
        if (i < sizes_until) /* a write that extends is a change of size, too */
            limit = MAX(limit, c->off + c->len);
        bool whole = rng_below(&f->rng, 100) < keep;
        for (uint64_t at = c->off, n; at < c->off + c->len; at += n) {
            n = MIN(c->off + c->len - at, SECTOR - at % SECTOR);
            if (at + n > limit || (tear ? rng_below(&f->rng, 100) >= keep : !whole))
                continue;
            image_write(&f->durable, at, c->data ? c->data + (at - c->off) : NULL, n);
        }
        f->durable.size = MAX(f->durable.size, MIN(limit, c->off + c->len));
    }
    for (size_t i = 0; i < f->n_change; i++)
        free(f->change[i].data);
    f->n_change = 0;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void do_write(struct crash_file *f, struct disk_rq *rq)
{
    uint8_t *data = malloc(MAX(rq->len, UINT64_C(1)));
    uint64_t at = 0;

    if (!data)
        abort();
    for (unsigned i = 0; i < rq->n_iov; i++) {
        memcpy(data + at, rq->iov[i].iov_base, rq->iov[i].iov_len);
        at += rq->iov[i].iov_len;
    }
    image_write(&f->now, rq->off, data, rq->len);
    change_add(f, DISK_WRITE, rq->off, rq->len, data);
}

static void do_zero(struct crash_file *f, struct disk_rq *rq)
{
    uint64_t len = rq->off >= f->now.size ? 0 : MIN(rq->len, f->now.size - rq->off);

    image_write(&f->now, rq->off, NULL, len);
    if (len)
        change_add(f, DISK_WRITE_ZEROES, rq->off, len, NULL);
}

static void do_read(struct crash_file *f, struct disk_rq *rq)
{
    uint64_t at = rq->off;

    for (unsigned i = 0; i < rq->n_iov; i++) {
        image_read(&f->now, at, rq->iov[i].iov_base, rq->iov[i].iov_len);
        at += rq->iov[i].iov_len;
    }
}

/* Through to the storage, past what else is still on its way (unless that overlaps). */
static void make_last_durable(struct crash_file *f)
{
    struct change *c = &f->change[f->n_change - 1];
    bool overlap = false;

    for (size_t i = 0; i + 1 < f->n_change; i++)
        overlap |= f->change[i].op == DISK_TRUNCATE ||
                   (f->change[i].off < c->off + c->len &&
                    c->off < f->change[i].off + f->change[i].len);
    if (overlap) {
        make_durable(f, f->n_change);
        return;
    }
    image_write(&f->durable, c->off, c->data, c->len);
    free(c->data);
    f->n_change--;
}

static int execute(struct crash_file *f, struct disk_rq *rq)
{
    if (f->crashed)
        return -EIO;
    if (++f->n_requests == f->crash_at) {
        lose_power(f);
        return -EIO;
    }
    if (f->n_requests == f->fail_at)
        return f->fail_err;
    switch (rq->op) {
    case DISK_READ:
        do_read(f, rq);
        break;
    case DISK_WRITE:
        do_write(f, rq);
        break;
    case DISK_DISCARD:
    case DISK_WRITE_ZEROES:
        do_zero(f, rq);
        break;
    case DISK_TRUNCATE:
        image_resize(&f->now, rq->off);
        change_add(f, DISK_TRUNCATE, rq->off, 0, NULL);
        break;
    case DISK_FLUSH: /* covers what was done when it was submitted */
        make_durable(f, MIN((size_t)rq->io_done, f->n_change));
        break;
    }
    if (rq->flags & DISK_FUA)
        make_last_durable(f);
    f->disk.size = f->now.size;
    return 0;
}

static void turn(struct work *w)
{
    struct crash_file *f = container_of(w, struct crash_file, work);
    size_t k = rng_below(&f->rng, f->n_waiting);
    struct disk_rq **at = &f->waiting;

    while (k--)
        at = &(*at)->next;
    struct disk_rq *rq = *at;
    *at = rq->next;
    if (--f->n_waiting)
        loop_post(f->disk.loop, &f->work);
    size_t before = f->n_change;
    int err = execute(f, rq);
    if (rq->op == DISK_FLUSH && !err) /* other flushes in the queue count from the new front */
        for (struct disk_rq *o = f->waiting; o; o = o->next)
            o->io_done -= MIN(o->io_done, (uint64_t)(before - f->n_change));
    disk_finish(rq, err);
}

static void crash_submit(struct disk *d, struct disk_rq *rq)
{
    struct crash_file *f = container_of(d, struct crash_file, disk);

    if (rq->op == DISK_TRUNCATE) { /* as the real file: at once */
        int err = execute(f, rq);
        disk_finish_soon(d, rq, err);
        return;
    }
    rq->io_done = f->n_change;
    rq->next = f->waiting;
    f->waiting = rq;
    if (f->n_waiting++ == 0)
        loop_post(d->loop, &f->work);
}

static int crash_close(struct disk *d, struct err *err)
{
    return 0;
}

static const struct disk_ops crash_ops = {
    .name = "crash", .submit = crash_submit, .close = crash_close,
};

/* ---- life ------------------------------------------------------------------------------------ */

struct crash_file *crash_file_new(struct disk_io *io, uint64_t seed)
{
    struct crash_file *f = calloc(1, sizeof *f);

    if (!f)
        abort();
    f->disk = (struct disk){ .ops = &crash_ops, .io = io, .loop = io_loop(io), .kind = "crash",
                             .block = 1, .phys_block = 512, .growable = true, .stack = 1 };
    f->work.run = turn;
    rng_init(&f->rng, seed);
    return f;
}

struct disk *crash_file_disk(struct crash_file *f)
{
    return &f->disk;
}

void crash_file_free(struct crash_file *f)
{
    if (!f)
        return;
    loop_unpost(f->disk.loop, &f->work);
    for (size_t i = 0; i < f->n_change; i++)
        free(f->change[i].data);
    free(f->change);
    image_done(&f->now);
    image_done(&f->durable);
    free(f);
}

void crash_file_arm(struct crash_file *f, uint64_t n)
{
    f->crash_at = n ? f->n_requests + n : 0;
}

void crash_file_order_appends(struct crash_file *f)
{
    f->order_appends = true;
}

bool crash_file_crashed(const struct crash_file *f)
{
    return f->crashed;
}

void crash_file_fail(struct crash_file *f, uint64_t n, int err)
{
    f->fail_at = n ? f->n_requests + n : 0;
    f->fail_err = err;
}

struct disk *crash_file_reopen(struct crash_file *f, bool read_only)
{
    if (f->crashed)
        image_copy(&f->now, &f->durable);
    f->crashed = false;
    f->crash_at = f->fail_at = 0;
    f->disk.size = f->now.size;
    f->disk.read_only = read_only;
    return &f->disk;
}

uint8_t *crash_file_bytes(struct crash_file *f, uint64_t *ret_size)
{
    uint8_t *p = malloc(MAX(f->now.size, UINT64_C(1)));

    if (!p)
        abort();
    image_read(&f->now, 0, p, f->now.size);
    *ret_size = f->now.size;
    return p;
}

int crash_file_load(struct crash_file *f, const void *p, uint64_t size)
{
    image_done(&f->now);
    image_write(&f->now, 0, p, size);
    f->disk.size = size;
    return 0;
}

uint64_t crash_file_requests(const struct crash_file *f)
{
    return f->n_requests;
}
