/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bitmap.c - see bitmap.h.  Called by vhd.c and vhdx.c. */
#include "disk/bitmap.h"

#include <errno.h>

#include "base/bytes.h"

#define CACHE_BYTES (64 * MIB)

static bool bit_get(const uint8_t *map, uint32_t i, bool msb_first)
{
    return map[i / 8] >> (msb_first ? 7 - i % 8 : i % 8) & 1;
}

uint32_t bits_run(const uint8_t *map, uint32_t from, uint32_t n, bool msb_first, bool *ret)
{
    bool first = bit_get(map, from, msb_first);
    uint32_t i = from, end = from + n;

    *ret = first;
    while (i < end) {
        if (i % 8 == 0 && end - i >= 64) {
            uint64_t v;
            memcpy(&v, map + i / 8, 8);
            if (v == (first ? UINT64_MAX : 0)) {
                i += 64;
                continue;
            }
        }
        if (i % 8 == 0 && end - i >= 8 && map[i / 8] == (first ? 0xff : 0)) {
            i += 8;
            continue;
        }
        if (bit_get(map, i, msb_first) != first)
            break;
        i++;
    }
    return i - from;
}

void bits_set(uint8_t *map, uint32_t from, uint32_t n, bool msb_first, bool to)
{
    uint32_t i = from, end = from + n;

    while (i < end) {
        if (i % 8 == 0 && end - i >= 8) {
            uint32_t bytes = (end - i) / 8;
            memset(map + i / 8, to ? 0xff : 0, bytes);
            i += bytes * 8;
            continue;
        }
        uint8_t mask = (uint8_t)(1u << (msb_first ? 7 - i % 8 : i % 8));
        map[i / 8] = (uint8_t)(to ? map[i / 8] | mask : map[i / 8] & ~mask);
        i++;
    }
}

/* ---- the cache ------------------------------------------------------------------------------- */

int bm_init(struct bm_cache *c, struct disk *file, size_t page_size)
{
    c->file = file;
    c->page_size = page_size;
    c->max = (unsigned)(CACHE_BYTES / page_size);
    c->n_buckets = 16384;
    c->buckets = calloc(c->n_buckets, sizeof(struct bm_page *));
    return c->buckets ? 0 : -ENOMEM;
}

static struct bm_page **bucket(struct bm_cache *c, uint64_t index)
{
    return &c->buckets[(index * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (c->n_buckets - 1)];
}

static void ring_remove(struct bm_cache *c, struct bm_page *p)
{
    if (c->hand == p)
        c->hand = p->ring_next == p ? NULL : p->ring_next;
    p->ring_prev->ring_next = p->ring_next;
    p->ring_next->ring_prev = p->ring_prev;
}

static void drop(struct bm_cache *c, struct bm_page *p)
{
    struct bm_page **at = bucket(c, p->index);

    while (*at != p)
        at = &(*at)->hash_next;
    *at = p->hash_next;
    ring_remove(c, p);
    c->n--;
    free(p->data);
    free(p);
}

/* Second chance; gives up after two rounds, then the cache grows a little. */
static void make_room(struct bm_cache *c)
{
    for (unsigned tries = 0; c->n >= c->max && c->hand && tries < 64; tries++) {
        struct bm_page *p = c->hand;
        c->hand = p->ring_next;
        if (p->dirty || p->pins || !p->ready)
            continue;
        if (p->used)
            p->used = false;
        else
            drop(c, p);
    }
}

static struct bm_page *page_add(struct bm_cache *c, uint64_t index, uint64_t file_off)
{
    make_room(c);
    struct bm_page *p = calloc(1, sizeof *p);

    if (!p || !(p->data = aligned_alloc(512, c->page_size))) {
        free(p);
        return NULL;
    }
    memset(p->data, 0, c->page_size);
    p->index = index;
    p->file_off = file_off;
    p->cache = c;
    p->hash_next = *bucket(c, index);
    *bucket(c, index) = p;
    if (c->hand) {
        p->ring_next = c->hand;
        p->ring_prev = c->hand->ring_prev;
        p->ring_prev->ring_next = p->ring_next->ring_prev = p;
    } else {
        c->hand = p->ring_next = p->ring_prev = p;
    }
    c->n++;
    return p;
}

static struct bm_page *lookup(struct bm_cache *c, uint64_t index)
{
    struct bm_page *p = *bucket(c, index);

    while (p && p->index != index)
        p = p->hash_next;
    return p;
}

struct bm_page *bm_find(struct bm_cache *c, uint64_t index)
{
    struct bm_page *p = lookup(c, index);

    if (!p || !p->ready)
        return NULL;
    p->used = true;
    return p;
}

static void load_done(struct disk_rq *rq, int err)
{
    struct bm_page *p = container_of(rq, struct bm_page, io);
    struct bm_cache *c = p->cache;
    struct disk_rq *w = p->waiters;

    p->waiters = NULL;
    p->ready = true;
    p->pins++; /* the first waiter must not push it out under the second */
    if (!err && c->loaded)
        c->loaded(c->ctx, p);
    if (err)
        p->ready = false;
    while (w) {
        struct disk_rq *next = w->next;
        c->resume(c->ctx, w, err);
        w = next;
    }
    if (err)
        drop(c, p);
    else
        p->pins--;
}

void bm_load(struct bm_cache *c, uint64_t index, uint64_t file_off, struct disk_rq *rq)
{
    struct bm_page *p = lookup(c, index);
    bool start = !p;

    if (!p)
        p = page_add(c, index, file_off);
    if (!p) {
        c->resume(c->ctx, rq, -ENOMEM);
        return;
    }
    rq->next = p->waiters;
    p->waiters = rq;
    if (!start)
        return;
    p->iov = (struct iovec){ p->data, c->page_size };
    p->io = (struct disk_rq){ .op = DISK_READ, .off = file_off, .len = c->page_size,
                              .iov = &p->iov, .n_iov = 1, .done = load_done };
    disk_submit(c->file, &p->io);
}

struct bm_page *bm_new(struct bm_cache *c, uint64_t index, uint64_t file_off)
{
    struct bm_page *p = lookup(c, index);

    if (!p)
        p = page_add(c, index, file_off);
    if (!p)
        return NULL;
    memset(p->data, 0, c->page_size);
    p->ready = p->used = true;
    p->file_off = file_off;
    return p;
}

int bm_dirty(struct bm_cache *c, struct bm_page *p)
{
    if (p->dirty)
        return 0;
    if (c->n_dirty == c->dirty_room) {
        size_t room = MAX(c->dirty_room * 2, 64u);
        struct bm_page **d = realloc(c->dirty, room * sizeof(struct bm_page *));
        if (!d)
            return -ENOMEM;
        c->dirty = d;
        c->dirty_room = room;
    }
    c->dirty[c->n_dirty++] = p;
    p->dirty = true;
    return 0;
}

struct bm_page *bm_take_dirty(struct bm_cache *c)
{
    if (!c->n_dirty)
        return NULL;
    struct bm_page *p = c->dirty[--c->n_dirty];
    p->dirty = false;
    return p;
}

void bm_reset(struct bm_cache *c)
{
    while (c->hand)
        drop(c, c->hand);
    c->n_dirty = 0;
}

void bm_done(struct bm_cache *c)
{
    bm_reset(c);
    free(c->buckets);
    free(c->dirty);
    c->buckets = NULL;
    c->dirty = NULL;
}
