/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bitmap.h - sector bitmaps of differencing disks: runs of bits, and a cache of pages of them.
 *
 * A page is the unit that is read and written: 4 KiB in VHDX, one block's bitmap in VHD.  Pages
 * come in on demand; clean ones go when the cache is over its size.  Loop thread only. */
#pragma once

#include "disk/disk.h"

/* How many of the bits from 'from' on (at most n) equal the first one, which goes to *ret. */
uint32_t bits_run(const uint8_t *map, uint32_t from, uint32_t n, bool msb_first, bool *ret);
void bits_set(uint8_t *map, uint32_t from, uint32_t n, bool msb_first, bool to);

struct bm_page {
    uint64_t index;
    uint64_t file_off;
    struct bm_page *hash_next, *ring_prev, *ring_next;
    bool ready, dirty, used;
    unsigned pins;
    struct disk_rq *waiters; /* linked by rq->next */
    struct bm_cache *cache;
    struct disk_rq io;
    struct iovec iov;
    uint8_t *data;
};

struct bm_cache {
    struct disk *file;
    size_t page_size;
    unsigned n, max, n_buckets;
    struct bm_page **buckets;
    struct bm_page *hand; /* of the clock that looks for a page to drop */
    struct bm_page **dirty;
    size_t n_dirty, dirty_room;
    /* A parked request may go on, or 'err' happened.  Also: patch what was read (replayed logs). */
    void (*resume)(void *ctx, struct disk_rq *rq, int err);
    void (*loaded)(void *ctx, struct bm_page *p);
    void *ctx;
};

int bm_init(struct bm_cache *c, struct disk *file, size_t page_size);
void bm_done(struct bm_cache *c);
void bm_reset(struct bm_cache *c); /* forget all pages */

/* The page if it is there and ready. */
struct bm_page *bm_find(struct bm_cache *c, uint64_t index);

/* Bring a page in and then resume 'rq', which the cache keeps until then. */
void bm_load(struct bm_cache *c, uint64_t index, uint64_t file_off, struct disk_rq *rq);

/* A page of zeros that needs no reading; an existing one is zeroed.  NULL: no memory. */
struct bm_page *bm_new(struct bm_cache *c, uint64_t index, uint64_t file_off);

/* Note that the page must be written: 0 or -ENOMEM. */
int bm_dirty(struct bm_cache *c, struct bm_page *p);

/* Take the last dirty page off the list, clean; NULL: none. */
struct bm_page *bm_take_dirty(struct bm_cache *c);
