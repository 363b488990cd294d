/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhd_meta.c - see vhd_meta.h.  Spec: VHD Image Format 1.0, "Hard Disk Footer Format", "Dynamic
 * Disk Header Format". */
#include "disk/vhd_meta.h"

#include <errno.h>

#include "base/bytes.h"
#include "disk/guid.h"

static uint32_t checksum(const uint8_t *p, size_t n, size_t at)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i++)
        if (i < at || i >= at + 4)
            sum += p[i];
    return ~sum;
}

static void text4(char to[5], const uint8_t *p)
{
    for (int i = 0; i < 4; i++)
        to[i] = (char)(p[i] >= 32 && p[i] < 127 ? p[i] : p[i] ? '?' : '\0');
    to[4] = '\0';
}

int vhd_footer_decode(const uint8_t *p, size_t n, struct vhd_footer *ret, struct err *err)
{
    struct vhd_footer f = { .features = get_be32(p + VHD_F_FEATURES),
                            .data_off = get_be64(p + VHD_F_DATA_OFF),
                            .time = get_be32(p + VHD_F_TIME),
                            .app_version = get_be32(p + VHD_F_APP_VER),
                            .orig_size = get_be64(p + VHD_F_ORIG_SIZE),
                            .size = get_be64(p + VHD_F_SIZE),
                            .cyls = get_be16(p + VHD_F_CYLS), .heads = p[VHD_F_HEADS],
                            .sectors = p[VHD_F_SECTORS], .type = get_be32(p + VHD_F_TYPE),
                            .saved_state = p[VHD_F_SAVED] == 1 };

    if (memcmp(p, VHD_COOKIE, 8) != 0)
        return err_set(err, ENOENT, "no VHD footer");
    if (get_be32(p + VHD_F_CHECKSUM) != checksum(p, n, VHD_F_CHECKSUM))
        return err_set(err, EILSEQ, "the checksum of a footer is wrong");
    if (get_be32(p + VHD_F_VERSION) >> 16 != VHD_VERSION >> 16)
        return err_set(err, ENOTSUP, "VHD version %#x: only 1 is known",
                       get_be32(p + VHD_F_VERSION));
    if (f.type != VHD_FIXED && f.type != VHD_DYNAMIC && f.type != VHD_DIFF)
        return err_set(err, ENOTSUP, "VHD type %u: fixed (2), dynamic (3), differencing (4) are "
                       "known", f.type);
    if (!f.size || f.size > VHD_SIZE_MAX || f.size % VHD_SECTOR)
        return err_set(err, EILSEQ, "a VHD of %llu bytes: multiples of 512 up to 2040 GiB are "
                       "possible", (unsigned long long)f.size);
    memcpy(f.uuid, p + VHD_F_UUID, 16);
    text4(f.app, p + VHD_F_APP);
    text4(f.host_os, p + VHD_F_HOST_OS);
    memcpy(f.raw, p, n);
    *ret = f;
    return 0;
}

void vhd_footer_encode(const struct vhd_footer *f, uint8_t *to)
{
    memcpy(to, f->raw, VHD_FOOTER_SIZE);
    memcpy(to, VHD_COOKIE, 8);
    put_be32(to + VHD_F_FEATURES, f->features);
    put_be32(to + VHD_F_VERSION, VHD_VERSION);
    put_be64(to + VHD_F_DATA_OFF, f->data_off);
    put_be32(to + VHD_F_TIME, f->time);
    put_be64(to + VHD_F_ORIG_SIZE, f->orig_size);
    put_be64(to + VHD_F_SIZE, f->size);
    put_be16(to + VHD_F_CYLS, f->cyls);
    to[VHD_F_HEADS] = f->heads;
    to[VHD_F_SECTORS] = f->sectors;
    put_be32(to + VHD_F_TYPE, f->type);
    memcpy(to + VHD_F_UUID, f->uuid, 16);
    put_be32(to + VHD_F_CHECKSUM, checksum(to, VHD_FOOTER_SIZE, VHD_F_CHECKSUM));
}

void vhd_footer_init(struct vhd_footer *f, uint32_t type, uint64_t size, int64_t now)
{
    *f = (struct vhd_footer){ .features = 2, .type = type, .orig_size = size, .size = size,
                              .data_off = type == VHD_FIXED ? VHD_NONE64 : VHD_FOOTER_SIZE,
                              .time = now > VHD_EPOCH ? (uint32_t)(now - VHD_EPOCH) : 0 };
    memcpy(f->raw + VHD_F_APP, "win ", 4); /* every reader then takes the size, not CHS */
    put_be32(f->raw + VHD_F_APP_VER, 0x000a0000);
    memcpy(f->raw + VHD_F_HOST_OS, "Wi2k", 4);
    vhd_geometry(size, &f->cyls, &f->heads, &f->sectors);
}

void vhd_geometry(uint64_t size, uint16_t *ret_cyls, uint8_t *ret_heads, uint8_t *ret_sectors)
{
    uint64_t t = MIN(size / VHD_SECTOR, UINT64_C(65535) * 16 * 255), ch;
    unsigned s, h;

    if (t >= UINT64_C(65535) * 16 * 63) {
        s = 255;
        h = 16;
        ch = t / s;
    } else {
        s = 17;
        ch = t / s;
        h = MAX((unsigned)((ch + 1023) / 1024), 4u);
        if (ch >= (uint64_t)h * 1024 || h > 16) {
            s = 31;
            h = 16;
            ch = t / s;
        }
        if (ch >= (uint64_t)h * 1024) {
            s = 63;
            h = 16;
            ch = t / s;
        }
    }
    *ret_cyls = (uint16_t)(ch / h);
    *ret_heads = (uint8_t)h;
    *ret_sectors = (uint8_t)s;
}

/* ---- dynamic header -------------------------------------------------------------------------- */

int vhd_header_decode(const uint8_t *p, const struct vhd_footer *f, bool let_checksum,
                      struct vhd_header *ret, struct err *err)
{
    struct vhd_header h = { .bat_off = get_be64(p + VHD_H_BAT_OFF),
                            .n_bat = get_be32(p + VHD_H_N_BAT),
                            .block_size = get_be32(p + VHD_H_BLOCK),
                            .parent_time = get_be32(p + VHD_H_PARENT_TIME) };

    if (memcmp(p, VHD_HDR_COOKIE, 8) != 0)
        return err_set(err, EILSEQ, "the dynamic header does not begin with 'cxsparse'");
    h.checksum_bad = get_be32(p + VHD_H_CHECKSUM) != checksum(p, VHD_HEADER_SIZE, VHD_H_CHECKSUM);
    if (h.checksum_bad && !let_checksum)
        return err_set(err, EILSEQ, "the checksum of the dynamic header is wrong");
    if (get_be32(p + VHD_H_VERSION) >> 16 != VHD_VERSION >> 16)
        return err_set(err, ENOTSUP, "a dynamic header of version %#x",
                       get_be32(p + VHD_H_VERSION));
    if (!is_pow2(h.block_size) || h.block_size < VHD_BLOCK_MIN || h.block_size > VHD_BLOCK_MAX)
        return err_set(err, EILSEQ, "block size %u: powers of two from 4 KiB to 256 MiB are "
                       "possible", h.block_size);
    if ((uint64_t)h.n_bat * h.block_size < f->size)
        return err_set(err, EILSEQ, "a table of %u blocks is too short for %llu bytes", h.n_bat,
                       (unsigned long long)f->size);
    if (h.n_bat > VHD_N_BAT_MAX || h.bat_off % VHD_SECTOR ||
        h.bat_off < VHD_FOOTER_SIZE || h.bat_off > (UINT64_C(1) << 41))
        return err_set(err, EILSEQ, "a table of %u blocks at %#llx", h.n_bat,
                       (unsigned long long)h.bat_off);
    memcpy(h.parent_uuid, p + VHD_H_PARENT_UUID, 16);
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        const uint8_t *l = p + VHD_H_LOCATORS + i * VHD_LOCATOR_SIZE;
        h.loc[i] = (struct vhd_locator){ get_be32(l), get_be32(l + 4), get_be32(l + 8),
                                         get_be64(l + 16) };
    }
    memcpy(h.raw, p, VHD_HEADER_SIZE);
    if (f->type == VHD_DIFF) {
        h.parent_name = utf16_decode(p + VHD_H_PARENT_NAME, VHD_H_NAME_LEN / 2, true);
        if (!h.parent_name)
            return err_set(err, ENOMEM, "no memory");
    }
    *ret = h;
    return 0;
}

int vhd_header_encode(const struct vhd_header *h, const char *name, uint8_t *to, struct err *err)
{
    memcpy(to, h->raw, VHD_HEADER_SIZE);
    memcpy(to, VHD_HDR_COOKIE, 8);
    put_be64(to + VHD_H_DATA_OFF, VHD_NONE64);
    put_be64(to + VHD_H_BAT_OFF, h->bat_off);
    put_be32(to + VHD_H_VERSION, VHD_VERSION);
    put_be32(to + VHD_H_N_BAT, h->n_bat);
    put_be32(to + VHD_H_BLOCK, h->block_size);
    memcpy(to + VHD_H_PARENT_UUID, h->parent_uuid, 16);
    put_be32(to + VHD_H_PARENT_TIME, h->parent_time);
    if (name) {
        memset(to + VHD_H_PARENT_NAME, 0, VHD_H_NAME_LEN);
        if (utf16_encode(name, to + VHD_H_PARENT_NAME, VHD_H_NAME_LEN / 2 - 1, true) == SIZE_MAX)
            return err_set(err, ENAMETOOLONG, "the name of the parent is longer than 255 "
                           "characters");
    }
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        uint8_t *l = to + VHD_H_LOCATORS + i * VHD_LOCATOR_SIZE;
        put_be32(l, h->loc[i].code);
        put_be32(l + 4, h->loc[i].space);
        put_be32(l + 8, h->loc[i].len);
        put_be32(l + 12, 0);
        put_be64(l + 16, h->loc[i].off);
    }
    put_be32(to + VHD_H_CHECKSUM, checksum(to, VHD_HEADER_SIZE, VHD_H_CHECKSUM));
    return 0;
}
