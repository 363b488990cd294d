/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx_meta.h - the structures of a VHDX file, decoded and encoded.  Pure: no I/O, no state.
 * GUIDs stay in the order of the file.  Decoders trust nothing; 'err' says which rule broke. */
#pragma once

#include "base/err.h"
#include "spec/vhdx.h"

struct vhdx_header {
    uint64_t seq;
    uint8_t file_guid[16], data_guid[16], log_guid[16];
    uint16_t log_version;
    uint32_t log_len;
    uint64_t log_off;
};

int vhdx_header_decode(const uint8_t *page, struct vhdx_header *ret, struct err *err);
void vhdx_header_encode(const struct vhdx_header *h, uint8_t *page);
/* Which of the two counts: *ret_slot 0 or 1, and whether the other is damaged. */
int vhdx_header_pick(const uint8_t *a, const uint8_t *b, struct vhdx_header *ret,
                     unsigned *ret_slot, bool *ret_other_bad, struct err *err);

struct vhdx_region {
    uint8_t guid[16];
    uint64_t off;
    uint32_t len;
    bool required;
};
struct vhdx_regions {
    struct vhdx_region bat, meta;
    unsigned n_other;
    struct vhdx_region other[16]; /* unknown ones whose space must be left alone */
};

int vhdx_regions_decode(const uint8_t *table, struct vhdx_regions *ret, struct err *err);
void vhdx_regions_encode(const struct vhdx_regions *r, uint8_t *table); /* VHDX_REGION_SIZE */

struct vhdx_item {
    uint32_t off, len; /* off from the region's start; len 0: not there */
    bool there;
};
struct vhdx_items {
    struct vhdx_item params, size, page83, logical, physical, locator;
    bool incomplete;
};

/* The table of 64 KiB at the start of a region of 'region_len' bytes. */
int vhdx_table_decode(const uint8_t *table, uint32_t region_len, struct vhdx_items *ret,
                      struct err *err);

struct vhdx_params {
    uint32_t block_size;
    bool fixed, has_parent;
    uint64_t size;
    uint32_t logical, physical;
    uint8_t page83[16];
};

/* The values that must fit together; called when the items are read. */
int vhdx_params_check(const struct vhdx_params *p, struct err *err);

struct vhdx_locator {
    char *linkage, *linkage2, *relative, *volume, *absolute; /* NULL: not there */
};
int vhdx_locator_decode(const uint8_t *p, size_t n, struct vhdx_locator *ret, struct err *err);
/* Returns the bytes used, 0 when it does not fit into 'max'. */
size_t vhdx_locator_encode(const struct vhdx_locator *l, uint8_t *to, size_t max);
void vhdx_locator_done(struct vhdx_locator *l);

/* A whole new metadata region's table and items.  'to' has 'size' bytes (at least 128 KiB),
 * zeroed.  locator may be NULL. */
int vhdx_metadata_encode(const struct vhdx_params *p, const struct vhdx_locator *l, uint8_t *to,
                         size_t size, struct err *err);

/* BAT geometry (2.11 of the format notes; [MS-VHDX] 2.5). */
struct vhdx_geometry {
    unsigned block_shift, ratio_shift, sector_shift;
    uint64_t n_payload, n_bitmap, n_bat;
};
void vhdx_geometry(const struct vhdx_params *p, struct vhdx_geometry *ret);

/* ---- log ------------------------------------------------------------------------------------- */

struct vhdx_log_entry {
    uint32_t len, tail, n_desc;
    uint64_t seq, flushed, last;
};

/* Is there a good entry at 'at' of the ring of 'len' bytes?  'tmp' holds len bytes of scratch. */
bool vhdx_log_entry_decode(const uint8_t *ring, uint32_t len, uint32_t at, const uint8_t *guid,
                           uint64_t log_off, uint8_t *tmp, struct vhdx_log_entry *ret);

/* What a replay must write. */
struct vhdx_log_op {
    uint64_t off, len;
    uint8_t *page; /* NULL: zeros; else 4096 bytes */
};
struct vhdx_replay {
    struct vhdx_log_op *op;
    size_t n;
    uint64_t flushed, last; /* of the head */
    uint64_t n_entries;
};
/* Find the active sequence and list its writes in order.  -ENOENT: no valid sequence. */
int vhdx_log_scan(const uint8_t *ring, uint32_t len, const uint8_t *guid, uint64_t log_off,
                  struct vhdx_replay *ret, struct err *err);
void vhdx_replay_done(struct vhdx_replay *r);

/* Lay out one entry for 'n' pages: returns its length; 'to' has room for it. */
struct vhdx_log_page {
    uint64_t off;
    uint8_t *data; /* 4096 bytes */
};
uint32_t vhdx_log_entry_size(size_t n_pages);
void vhdx_log_entry_encode(uint8_t *to, const struct vhdx_log_page *pages, size_t n,
                           const uint8_t *guid, const struct vhdx_log_entry *e);
