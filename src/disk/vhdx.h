/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx.h - an open VHDX file: what the vhdx*.c files share, and what image.c and the tool call.
 *
 * Invariants
 *  1. All space that is handed out reads as zero, and durably so: the end of the file after a
 *     truncate, or holes punched before the entry log was begun, or after the entry that freed
 *     them was durable.  So an allocation can be logged before its data is durable.
 *  2. In a differencing disk bits are set (and PARTIAL becomes FULL) when the data write is
 *     done, and what changed that way is logged only after one more flush ('need_order').
 *  3. 'bat' and the bitmap pages in memory are what requests see.  Dirty pages of them are logged
 *     by the next commit; a guest's flush is done when the log entry is durable.
 *  4. Pages are written in place after that, and the log's tail passes their entry only when a
 *     later flush has made them durable. */
#pragma once

#include "disk/bitmap.h"
#include "disk/dirty.h"
#include "disk/disk.h"
#include "disk/layer.h"
#include "disk/vhdx_meta.h"

struct vhdx_extent {
    uint64_t off, len;
};

struct vhdx_extents {
    struct vhdx_extent *e;
    size_t n, room;
};
int vhdx_extents_add(struct vhdx_extents *x, uint64_t off, uint64_t len);

enum vhdx_phase { VHDX_IDLE, VHDX_BEGINNING, VHDX_OPEN, VHDX_BROKEN };

struct vhdx {
    struct disk disk;
    struct disk *file;
    struct disk *parent; /* NULL: none, or not opened */
    struct vhdx_header hdr;
    unsigned slot; /* of the current header */
    struct vhdx_regions regions;
    struct vhdx_items items;
    struct vhdx_params params;
    struct vhdx_locator locator;
    struct vhdx_geometry geo;
    struct vhdx_replay replay; /* a dirty log seen through (read-only) */
    bool log_was_dirty, header_bad, region_bad[2];
    uint8_t data_guid[16]; /* to take at the first change */

    uint64_t *bat; /* host order */
    struct bm_cache bits;
    struct dirty_set bat_dirty; /* pages */
    bool need_order;

    /* space */
    uint64_t end;              /* everything from here on is free */
    struct vhdx_extents free;  /* zeroed holes */
    struct vhdx_extents holes; /* found at open, to be zeroed before use */
    struct vhdx_extents freed; /* blocks given up since the last commit */
    struct vhdx_extents punch; /* their entries are durable; being punched */
    uint64_t durable_size;     /* of the file, as of the last flush */
    struct disk_rq grow;
    bool growing;

    /* requests in the file now, by epoch: a freed block is punched when its epoch has drained */
    unsigned flying[2], epoch;

    enum vhdx_phase phase;
    struct rq_list parked;  /* changes that wait for VHDX_OPEN */
    struct rq_list flushes; /* wait for the next commit */

    struct vhdx_commit {
        bool running;
        unsigned step;
        struct rq_list waiters; /* of this round */
        struct disk_rq rq;
        struct iovec iov[2];
        uint8_t *entry;
        struct vhdx_log_page *pages; /* of the entry: as in the batch */
        struct batch batch;
        size_t next_hole, n_freed;
        uint32_t n_before_wrap; /* bytes of the entry that are written, when it wraps */
        bool more; /* dirty pages were left over */
        uint64_t size_at_flush;
        uint32_t applied_at_flush;
    } c;
    struct {
        uint64_t seq; /* of the last entry written */
        uint32_t head, tail, applied; /* offsets in the ring */
    } log;
    uint8_t header_page[4096] __attribute__((aligned(4096)));
};

/* Open over 'file', which is taken also on failure.  parent_missing: the caller does not attach
 * one although there should be one. */
int vhdx_open(struct disk *file, const struct disk_open *how, struct vhdx **ret, struct err *err);
void vhdx_set_parent(struct vhdx *v, struct disk *parent);
extern const struct disk_ops vhdx_ops;

static inline struct vhdx *vhdx_of(struct disk *d)
{
    return container_of(d, struct vhdx, disk);
}

/* ---- among the vhdx*.c files ----------------------------------------------------------------- */

static inline uint64_t vhdx_bat_index(const struct vhdx *v, uint64_t block)
{
    return block + (block >> v->geo.ratio_shift);
}

static inline uint64_t vhdx_bitmap_index(const struct vhdx *v, uint64_t chunk)
{
    return (chunk << v->geo.ratio_shift) + chunk + (UINT64_C(1) << v->geo.ratio_shift);
}

/* Read metadata, a dirty log taken into account. */
int vhdx_meta_read(struct vhdx *v, uint64_t off, void *buf, uint64_t len);
void vhdx_replay_patch(const struct vhdx_replay *r, uint64_t off, uint8_t *buf, uint64_t len);

/* Load and judge the BAT.  'say' hears each finding; without it the first one is the error. */
struct vhdx_finding {
    void (*say)(void *ctx, uint64_t index, const char *text);
    void *ctx;
};
int vhdx_bat_load(struct vhdx *v, struct err *err);
int vhdx_bat_check(struct vhdx *v, const struct vhdx_finding *f, struct err *err);

/* vhdx_space.c */
int vhdx_space_scan(struct vhdx *v, const struct vhdx_finding *f, struct err *err);
int vhdx_alloc(struct vhdx *v, uint64_t len, uint64_t *ret); /* 0 or -ENOSPC, -ENOMEM */
void vhdx_free_block(struct vhdx *v, uint64_t off, uint64_t len);

/* vhdx_commit.c */
int vhdx_bat_set(struct vhdx *v, uint64_t index, uint64_t entry); /* 0 or -ENOMEM */
void vhdx_begin(struct vhdx *v, struct disk_rq *rq); /* park 'rq' until the log is open */
void vhdx_flush(struct vhdx *v, struct disk_rq *rq);
void vhdx_commit_if_many(struct vhdx *v);
bool vhdx_is_dirty(const struct vhdx *v);
int vhdx_shut(struct vhdx *v, struct err *err); /* blocks: commit, apply, clear the log */
int vhdx_header_write(struct vhdx *v);          /* blocks: both slots, flushed */
int vhdx_begin_sync(struct vhdx *v, struct err *err);

/* Log and write pages in place, durably (blocks).  For edits of metadata while nothing flies. */
int vhdx_log_pages_sync(struct vhdx *v, struct vhdx_log_page *pages, size_t n, struct err *err);
