/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dirty.c - see dirty.h.  Called by vhd*.c, vhdx*.c and resize.c; calls the file beneath. */
#include "disk/dirty.h"

#include <assert.h>
#include <errno.h>

/* ---- which pieces ---------------------------------------------------------------------------- */

int dirty_set_size(struct dirty_set *s, uint64_t n_pieces)
{
    size_t n = n_pieces / 8 + 1;

    if (n <= s->n_listed)
        return 0;
    uint8_t *listed = realloc(s->listed, n);
    if (!listed)
        return -ENOMEM;
    memset(listed + s->n_listed, 0, n - s->n_listed);
    s->listed = listed;
    s->n_listed = n;
    return 0;
}

void dirty_set_done(struct dirty_set *s)
{
    free(s->list);
    free(s->listed);
    *s = (struct dirty_set){ 0 };
}

int dirty_set_add(struct dirty_set *s, uint32_t piece)
{
    if (s->listed[piece / 8] >> piece % 8 & 1)
        return 0;
    if (s->n == s->room) {
        size_t room = MAX(s->room * 2, 64u);
        uint32_t *list = realloc(s->list, room * sizeof *list);
        if (!list)
            return -ENOMEM;
        s->list = list;
        s->room = room;
    }
    s->list[s->n++] = piece;
    s->listed[piece / 8] |= (uint8_t)(1u << piece % 8);
    return 0;
}

static int rising(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

void dirty_set_sort(struct dirty_set *s)
{
    if (s->n) /* else there may be no array */
        qsort(s->list, s->n, sizeof *s->list, rising);
}

uint32_t dirty_set_take(struct dirty_set *s)
{
    assert(s->n);
    uint32_t piece = s->list[--s->n];

    s->listed[piece / 8] &= (uint8_t)~(1u << piece % 8);
    return piece;
}

/* ---- their copies ---------------------------------------------------------------------------- */

int batch_init(struct batch *b, struct disk *file, size_t unit, size_t room)
{
    *b = (struct batch){
        .file = file, .unit = unit, .room = room,
        .bytes = aligned_alloc(4096, ALIGN_UP(room * unit, (size_t)4096)),
        .rq = calloc(room, sizeof *b->rq), .iov = calloc(room, sizeof *b->iov),
        .pinned = calloc(room, sizeof(struct bm_page *)),
    };
    if (b->bytes && b->rq && b->iov && b->pinned)
        return 0;
    batch_done(b);
    return -ENOMEM;
}

void batch_done(struct batch *b)
{
    free(b->bytes);
    free(b->rq);
    free(b->iov);
    free(b->pinned);
    *b = (struct batch){ 0 };
}

static void piece_written(struct disk_rq *rq, int err)
{
    struct batch *b = rq->ctx;

    if (err)
        b->err = err;
    if (--b->n_flying == 0)
        b->written(b, b->err);
}

uint8_t *batch_add(struct batch *b, uint64_t off, size_t len)
{
    assert(b->n < b->room && len <= b->unit);
    uint8_t *to = b->bytes + b->n * b->unit;

    b->iov[b->n] = (struct iovec){ to, len };
    b->rq[b->n] = (struct disk_rq){ .op = DISK_WRITE, .off = off, .len = len,
                                    .iov = &b->iov[b->n], .n_iov = 1, .done = piece_written,
                                    .ctx = b };
    b->n++;
    return to;
}

void batch_add_bitmaps(struct batch *b, struct bm_cache *bits)
{
    struct bm_page *p;

    while (b->n < b->room && (p = bm_take_dirty(bits))) {
        memcpy(batch_add(b, p->file_off, bits->page_size), p->data, bits->page_size);
        p->pins++;
        b->pinned[b->n_pinned++] = p;
    }
}

void batch_unpin(struct batch *b)
{
    while (b->n_pinned)
        b->pinned[--b->n_pinned]->pins--;
}

void batch_write(struct batch *b, void (*written)(struct batch *b, int err))
{
    size_t n = b->n;

    b->written = written;
    b->n_flying = n;
    b->err = 0;
    for (size_t i = 0; i < n; i++)
        disk_submit(b->file, &b->rq[i]);
}
