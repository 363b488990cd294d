/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dirty.h - changed metadata on its way to the file: which pieces of a table have changed, and
 * copies of changed pieces that are written together.
 *
 * When that happens, and what must be durable before, is for vhd_commit.c and vhdx_commit.c, whose
 * orders differ.  Loop thread only. */
#pragma once

#include "disk/bitmap.h"
#include "disk/disk.h"

/* Numbers of the pieces of a table that have changed, each once.  All zeros: a table of none. */
struct dirty_set {
    uint32_t *list;
    uint8_t *listed; /* a bit a piece */
    size_t n, room, n_listed; /* n_listed: bytes of 'listed' */
};

int dirty_set_size(struct dirty_set *s, uint64_t n_pieces); /* at least; 0 or -ENOMEM */
void dirty_set_done(struct dirty_set *s);
int dirty_set_add(struct dirty_set *s, uint32_t piece); /* 0 or -ENOMEM */
void dirty_set_sort(struct dirty_set *s);               /* the highest becomes the last */
uint32_t dirty_set_take(struct dirty_set *s);           /* the last; there must be one */

/* Copies of changed pieces.  What changes in memory after a piece was added waits for the next
 * round.  All zeros: not in use yet, 'room' is 0. */
struct batch {
    struct disk *file;
    size_t unit, room, n; /* bytes of the longest piece; pieces */
    uint8_t *bytes;
    struct disk_rq *rq; /* [n]: the write of each piece */
    struct iovec *iov;  /* [n]: its copy */
    struct bm_page **pinned;
    size_t n_pinned, n_flying;
    void (*written)(struct batch *b, int err);
    int err;
};

int batch_init(struct batch *b, struct disk *file, size_t unit, size_t room); /* 0 or -ENOMEM */
void batch_done(struct batch *b);

/* Room for a piece that belongs at 'off' of the file: the caller fills it.  n < room. */
uint8_t *batch_add(struct batch *b, uint64_t off, size_t len);

/* Dirty bitmaps, clean then, as many as fit.  They stay in the cache until batch_unpin(): until a
 * page stands in its place, nobody may read it from there. */
void batch_add_bitmaps(struct batch *b, struct bm_cache *bits);
void batch_unpin(struct batch *b);

/* Write all pieces (one at least) to their places; 'written' hears once, when all are answered. */
void batch_write(struct batch *b, void (*written)(struct batch *b, int err));
