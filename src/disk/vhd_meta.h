/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhd_meta.h - the structures of a VHD file, decoded and encoded.  Pure: no I/O, no state. */
#pragma once

#include "base/err.h"
#include "spec/vhd.h"

struct vhd_footer {
    uint32_t features, type, time;
    uint64_t data_off, orig_size, size;
    char app[5], host_os[5]; /* as text */
    uint32_t app_version;
    uint16_t cyls;
    uint8_t heads, sectors;
    uint8_t uuid[16];
    bool saved_state;
    uint8_t raw[VHD_FOOTER_SIZE]; /* as read: unknown bytes are kept when it is rewritten */
};

/* 'n' is 512, or 511 for very old files. */
int vhd_footer_decode(const uint8_t *p, size_t n, struct vhd_footer *ret, struct err *err);
/* Fields over f->raw, and the checksum. */
void vhd_footer_encode(const struct vhd_footer *f, uint8_t *to);
/* A footer as we write it: size, geometry, identity, time (Unix seconds). */
void vhd_footer_init(struct vhd_footer *f, uint32_t type, uint64_t size, int64_t now);
void vhd_geometry(uint64_t size, uint16_t *cyls, uint8_t *heads, uint8_t *sectors);

struct vhd_locator {
    uint32_t code, space, len;
    uint64_t off;
};

struct vhd_header {
    uint64_t bat_off;
    uint32_t n_bat, block_size;
    uint8_t parent_uuid[16];
    uint32_t parent_time;
    char *parent_name; /* malloc'ed */
    struct vhd_locator loc[VHD_LOCATORS];
    bool checksum_bad;              /* only when that was let through */
    uint8_t raw[VHD_HEADER_SIZE];
};

int vhd_header_decode(const uint8_t *p, const struct vhd_footer *f,
                      bool let_checksum, struct vhd_header *ret, struct err *err);
/* Fields over h->raw (the name only when 'name' is given), and the checksum. */
int vhd_header_encode(const struct vhd_header *h, const char *name, uint8_t *to,
                      struct err *err);

static inline uint32_t vhd_bitmap_bytes(uint32_t block_size)
{
    return (block_size / VHD_SECTOR / 8 + VHD_SECTOR - 1) & ~(VHD_SECTOR - 1u);
}

/* Where the bitmap of a block may stand at or after 'end': its data is aligned to 4096. */
static inline uint64_t vhd_next_place(uint64_t end, uint32_t bitmap_bytes)
{
    return ((end + bitmap_bytes + 4095) & ~UINT64_C(4095)) - bitmap_bytes;
}
