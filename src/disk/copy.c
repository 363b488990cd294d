/* SPDX-License-Identifier: GPL-2.0-or-later */
/* copy.c - copying and comparing disks: several reads and writes at a time, zeros left out.
 *
 * Each slot walks read -> look -> write -> next piece.  Spec: job.h. */
#include <errno.h>

#include "disk/guid.h"
#include "disk/job.h"
#include "disk/layer.h"

#define SLOTS   4
#define PIECE   (512 * KIB) /* fits the caches of the CPU: read, look and write stay warm */
#define ZERO_PIECE (64 * MIB) /* of what has no data: the target clears it */
#define CLUSTER 4096u       /* zeros are left out in these units */

int disk_job_step(const struct disk_job *job, uint64_t done, uint64_t total, struct err *err)
{
    if (job && job->progress && !job->progress(job->ctx, done, total))
        return err_set(err, ECANCELED, "stopped");
    return 0;
}

struct slot {
    struct disk_rq rq;
    struct iovec iov;
    uint8_t *buf;
    struct copy *c;
    uint64_t off, len; /* the piece */
    uint64_t at;       /* how far of it has been looked at */
    bool flying;
};

struct copy {
    struct disk *from, *to;
    bool sparse;
    const struct disk_job *job;
    uint64_t next, end; /* of 'from': what is being copied */
    struct disk_extent *ext;
    size_t n_ext, i_ext, ext_room;
    unsigned flying;
    bool finished;
    int err;
    struct slot slot[SLOTS];
};

static void slot_read(struct slot *s);

static bool is_data(const struct slot *s, uint64_t at)
{
    return !s->c->sparse || !is_zero(s->buf + at, MIN(CLUSTER, s->len - at));
}

/* The next run of data in the piece goes out; false: nothing is left. */
static bool slot_write(struct slot *s)
{
    struct copy *c = s->c;

    while (s->at < s->len && !is_data(s, s->at))
        s->at += MIN(CLUSTER, s->len - s->at);
    if (s->at >= s->len)
        return false;
    uint64_t from = s->at;
    while (s->at < s->len && is_data(s, s->at))
        s->at += MIN(CLUSTER, s->len - s->at);
    s->iov = (struct iovec){ s->buf + from, s->at - from };
    s->rq.op = DISK_WRITE;
    s->rq.off = s->off + from;
    s->rq.len = s->at - from;
    disk_submit(c->to, &s->rq);
    return true;
}

static void slot_done(struct disk_rq *rq, int err)
{
    struct slot *s = container_of(rq, struct slot, rq);
    struct copy *c = s->c;

    if (err && !c->err)
        c->err = err;
    if (!err && slot_write(s))
        return;
    slot_read(s);
}

/* The next piece of the extents that were looked up; false: no more. */
static bool next_piece(struct copy *c, uint64_t *ret_off, uint64_t *ret_len, bool *ret_data)
{
    while (c->i_ext < c->n_ext) {
        struct disk_extent *x = &c->ext[c->i_ext];
        if (!x->len) {
            c->i_ext++;
            continue;
        }
        /* End where the blocks of most formats end, so that few pieces are split. */
        *ret_data = x->kind == DISK_EXT_DATA;
        uint64_t most = *ret_data ? PIECE : ZERO_PIECE;
        uint64_t len = MIN(most - x->off % most, x->len);
        *ret_off = x->off;
        *ret_len = len;
        x->off += len;
        x->len -= len;
        return true;
    }
    return false;
}

/* What of [next, end) must be copied.  Mapping may run the loop: nothing is in flight now. */
static int look_up(struct copy *c)
{
    c->n_ext = c->i_ext = 0;
    for (uint64_t off = c->next; off < c->end;) {
        struct disk_extent x;
        int r = disk_map(c->from, off, c->end - off, &x);
        if (r < 0)
            return r;
        off += x.len;
        if (x.kind != DISK_EXT_DATA && c->sparse)
            continue;
        if (c->n_ext == c->ext_room) {
            size_t room = MAX(c->ext_room * 2, (size_t)64);
            struct disk_extent *e = realloc(c->ext, room * sizeof *e);
            if (!e)
                return -ENOMEM;
            c->ext = e;
            c->ext_room = room;
        }
        c->ext[c->n_ext++] = x;
    }
    return 0;
}

static void slot_read(struct slot *s)
{
    struct copy *c = s->c;
    bool data;

    s->flying = false;
    if (c->err || !next_piece(c, &s->off, &s->len, &data)) {
        if (--c->flying == 0)
            c->finished = true;
        return;
    }
    s->flying = true;
    s->at = 0;
    s->rq.done = slot_done;
    if (!data) { /* the target may hold something there */
        s->at = s->len;
        s->rq.op = DISK_WRITE_ZEROES;
        s->rq.flags = DISK_UNMAP;
        s->rq.off = s->off;
        s->rq.len = s->len;
        s->rq.n_iov = 0;
        disk_submit(c->to, &s->rq);
        return;
    }
    s->iov = (struct iovec){ s->buf, s->len };
    s->rq.flags = 0;
    s->rq.op = DISK_READ;
    s->rq.off = s->off;
    s->rq.len = s->len;
    s->rq.iov = &s->iov;
    s->rq.n_iov = 1;
    disk_submit(c->from, &s->rq);
}

/* Up to 'upto'; between two such runs progress is told. */
static int copy_some(struct copy *c, uint64_t upto, struct err *err)
{
    c->end = upto;
    c->err = look_up(c);
    c->finished = false;
    c->flying = SLOTS;
    for (unsigned i = 0; i < SLOTS; i++)
        slot_read(&c->slot[i]);
    loop_run_until(c->from->loop, &c->finished);
    return c->err ? err_errno(err, -c->err, "copying near byte %llu",
                              (unsigned long long)c->next) : 0;
}

int disk_copy(struct disk *from, struct disk *to, bool to_is_empty, const struct disk_job *job,
              struct err *err)
{
    const uint64_t step = 256 * MIB;
    struct copy *c;
    int r = 0;

    if (to->size < from->size)
        return err_set(err, ENOSPC, "the target has %llu bytes, the source %llu",
                       (unsigned long long)to->size, (unsigned long long)from->size);
    c = calloc(1, sizeof *c);
    if (!c)
        return err_set(err, ENOMEM, "no memory to copy");
    *c = (struct copy){ .from = from, .to = to, .sparse = to_is_empty, .job = job };
    for (unsigned i = 0; i < SLOTS && r == 0; i++) {
        c->slot[i].c = c;
        c->slot[i].buf = aligned_alloc(4096, PIECE);
        if (!c->slot[i].buf)
            r = err_set(err, ENOMEM, "no memory to copy");
    }
    while (r == 0 && c->next < from->size) {
        r = disk_job_step(job, c->next, from->size, err);
        if (r == 0)
            r = copy_some(c, MIN(c->next + step, from->size), err);
        c->next = c->end;
    }
    if (r == 0 && (r = disk_flush_sync(to)) < 0)
        err_errno(err, -r, "the copy could not be made durable");
    if (r == 0)
        r = disk_job_step(job, from->size, from->size, err);
    for (unsigned i = 0; i < SLOTS; i++)
        free(c->slot[i].buf);
    free(c->ext);
    free(c);
    return r;
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* How far from 'off' both are known to be zero without reading. */
static uint64_t both_zero(struct disk *a, struct disk *b, uint64_t off, uint64_t size)
{
    uint64_t n = size - off;
    struct disk *d[2] = { a, b };

    for (int i = 0; i < 2; i++) {
        struct disk_extent x;
        if (off >= d[i]->size)
            continue;
        if (disk_map(d[i], off, MIN(n, d[i]->size - off), &x) < 0 || x.kind == DISK_EXT_DATA)
            return 0;
        n = off + x.len >= d[i]->size ? n : MIN(n, x.len);
    }
    return n;
}

static int read_or_zero(struct disk *d, uint64_t off, uint8_t *buf, uint64_t len)
{
    uint64_t have = off < d->size ? MIN(len, d->size - off) : 0;

    memset(buf + have, 0, len - have);
    return have ? disk_read_sync(d, off, buf, have) : 0;
}

int disk_compare(struct disk *a, struct disk *b, const struct disk_job *job, uint64_t *ret_at,
                 struct err *err)
{
    AUTO(free_p) uint8_t *x = malloc(PIECE);
    AUTO(free_p) uint8_t *y = malloc(PIECE);
    uint64_t size = MAX(a->size, b->size);
    int r;

    if (!x || !y)
        return err_set(err, ENOMEM, "no memory to compare");
    for (uint64_t off = 0, n; off < size; off += n) {
        if ((r = disk_job_step(job, off, size, err)) < 0)
            return r;
        if ((n = both_zero(a, b, off, size)))
            continue;
        n = MIN(PIECE, size - off);
        if ((r = read_or_zero(a, off, x, n)) < 0 || (r = read_or_zero(b, off, y, n)) < 0)
            return err_errno(err, -r, "reading near byte %llu", (unsigned long long)off);
        if (memcmp(x, y, n) == 0)
            continue;
        uint64_t i = 0;
        while (x[i] == y[i])
            i++;
        *ret_at = off + i;
        return 0;
    }
    return 1;
}
