/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhd.h - an open VHD: what the vhd*.c files share, and what image.c and the tool call.
 *
 * VHD has no log.  What makes a crash harmless:
 *  1. New blocks lie in space that reads as zero: the file is cut behind its last block before the
 *     first change, and extended from there.
 *  2. A dynamic disk's new block gets a bitmap of ones with its first write; a BAT entry, bitmap
 *     or data that is missing after a crash shows zeros, which is what was there before.
 *  3. A differencing disk's bits are set in memory when the data write is done and written only
 *     after a flush of the file.
 *  4. A BAT entry is written only when the file's size is known durable beyond its block.
 *  5. The footer copy at 0 is good at all times; the end footer stands far behind the blocks
 *     while the disk is being written, and close by after a clean close. */
#pragma once

#include "disk/bitmap.h"
#include "disk/dirty.h"
#include "disk/disk.h"
#include "disk/layer.h"
#include "disk/vhd_meta.h"

enum { VHD_B_KNOWN = 1, VHD_B_FULL = 2 }; /* per block of a dynamic disk: is its bitmap all ones? */

enum vhd_phase { VHD_IDLE, VHD_BEGINNING, VHD_OPEN, VHD_BROKEN };

struct vhd {
    struct disk disk;
    struct disk *file;
    struct disk *parent;
    struct vhd_footer footer;
    struct vhd_header header;
    char *loc_relative, *loc_absolute; /* of a differencing disk; NULL: none */
    bool front_bad, end_bad, footers_differ;
    uint32_t block_size, bitmap_bytes;
    unsigned block_shift;

    uint32_t *bat;      /* host order */
    uint8_t *block_known;
    struct bm_cache bits;
    struct dirty_set bat_dirty; /* 512-byte sectors of the table */
    bool need_order;

    uint64_t end;          /* of the last block, or of the metadata */
    uint64_t limit;        /* blocks may be placed below this: the end footer stands there */
    uint64_t durable_size;
    struct disk_rq grow;
    struct iovec grow_iov;
    bool growing;
    uint8_t footer_sector[VHD_FOOTER_SIZE] __attribute__((aligned(512)));

    enum vhd_phase phase;
    struct rq_list parked;  /* changes that wait for VHD_OPEN */
    struct rq_list flushes; /* wait for the next commit */

    struct vhd_commit {
        bool running, more;
        unsigned step;
        struct rq_list waiters; /* of this round */
        struct disk_rq rq;
        struct iovec iov;
        struct batch batch; /* of bitmaps and sectors of the table */
        uint64_t size_at_flush;
    } c;
};

int vhd_open(struct disk *file, const struct disk_open *how, struct vhd **ret, struct err *err);
void vhd_set_parent(struct vhd *v, struct disk *parent);
extern const struct disk_ops vhd_ops;

static inline struct vhd *vhd_of(struct disk *d)
{
    return container_of(d, struct vhd, disk);
}

/* ---- among the vhd*.c files ------------------------------------------------------------------ */

struct vhd_finding {
    void (*say)(void *ctx, uint64_t index, const char *text);
    void *ctx;
};
/* Judge the table and find v->end. */
int vhd_bat_check(struct vhd *v, const struct vhd_finding *f, struct err *err);
uint64_t vhd_meta_end(const struct vhd *v); /* header, table and locators */

int vhd_alloc(struct vhd *v, uint64_t *ret); /* place of a new block's bitmap */
int vhd_bat_set(struct vhd *v, uint64_t block, uint32_t entry);
void vhd_begin(struct vhd *v, struct disk_rq *rq);
void vhd_flush(struct vhd *v, struct disk_rq *rq);
void vhd_commit_if_many(struct vhd *v);
bool vhd_is_dirty(const struct vhd *v);
int vhd_shut(struct vhd *v, struct err *err);
int vhd_begin_sync(struct vhd *v, struct err *err);
/* Put the end footer behind the last block and cut the file behind it (blocks). */
int vhd_end_footer(struct vhd *v, struct err *err);
