/* SPDX-License-Identifier: GPL-2.0-or-later */
/* resize.c - changing the size of a disk, and its identity.
 *
 * VHDX: one log entry holds the size (and, when the table must move, both region tables), so a
 * crash shows the old disk or the new one.  VHD: the order of writes of 1.13 in the format notes:
 * table, header, footers.  A fixed VHD has one footer: growing appends the new one, in a write of
 * its own, and trusts the file system not to show a longer file without what was appended; a crash
 * right after that leaves the old footer's 512 bytes to be read in the new space.
 * Called by the tool with the disk open and idle. */
#include <errno.h>

#include "base/bytes.h"
#include "disk/file.h"
#include "disk/guid.h"
#include "disk/job.h"
#include "disk/vhd.h"
#include "disk/vhdx.h"

static int failed(struct err *err, int r)
{
    return r < 0 ? err_errno(err, -r, "the file could not be changed") : 0;
}

/* ---- VHDX ------------------------------------------------------------------------------------ */

/* The page of metadata that 'item' lies in, to be changed at *ret_in. */
static int item_page(struct vhdx *x, const struct vhdx_item *item, uint8_t *page, uint64_t *ret_off,
                     uint32_t *ret_in)
{
    uint64_t at = x->regions.meta.off + item->off;

    *ret_off = at & ~UINT64_C(4095);
    *ret_in = (uint32_t)(at & 4095);
    if (*ret_in + item->len > VHDX_PAGE)
        return -ENOTSUP; /* nobody lays it out that way */
    return vhdx_meta_read(x, *ret_off, page, VHDX_PAGE);
}

static int tail_is_free(struct vhdx *x, uint64_t size, struct err *err)
{
    uint64_t first = (size + x->params.block_size - 1) >> x->geo.block_shift;

    for (uint64_t b = first; b < x->geo.n_payload; b++) {
        if ((x->bat[vhdx_bat_index(x, b)] & 6) == 6)
            return err_set(err, EBUSY,
                           "the part that would be cut off holds data near byte %llu: free it in "
                           "the guest and compact, or force it",
                           (unsigned long long)(b << x->geo.block_shift));
    }
    return 0;
}

static int drop_tail(struct vhdx *x, uint64_t size, uint64_t n_bat, struct err *err)
{
    uint64_t first = (size + x->params.block_size - 1) >> x->geo.block_shift;
    int r = 0;

    for (uint64_t b = first; b < x->geo.n_payload && r == 0; b++) {
        uint64_t index = vhdx_bat_index(x, b), e = x->bat[index];
        if (!e)
            continue;
        r = vhdx_bat_set(x, index, 0);
        if (r == 0 && (e & VHDX_BAT_OFFSET))
            vhdx_free_block(x, e & VHDX_BAT_OFFSET, x->params.block_size);
    }
    /* Bitmap blocks behind the new end; their space is found again at the next open. */
    for (uint64_t i = n_bat; i < x->geo.n_bat && r == 0; i++)
        if (x->bat[i])
            r = vhdx_bat_set(x, i, 0);
    if (r == 0)
        r = disk_flush_sync(&x->disk);
    return failed(err, r);
}

/* What lies between the old end and the end of its block must read as zero after growing. */
static int clear_rest_of_block(struct vhdx *x, struct err *err)
{
    uint64_t end = x->params.size, in = end & (x->params.block_size - 1);
    uint64_t e = x->bat[vhdx_bat_index(x, x->geo.n_payload - 1)];

    if (!in || (e & 6) != 6)
        return 0;
    int r = disk_rw_sync(x->file, DISK_WRITE_ZEROES, (e & VHDX_BAT_OFFSET) + in, NULL,
                         x->params.block_size - in, DISK_UNMAP);
    return failed(err, r);
}

/* A larger table at the end of the file, with what the old one holds. */
static int new_bat(struct vhdx *x, uint64_t n_bat, struct vhdx_region *ret, struct err *err)
{
    uint64_t len = ALIGN_UP(n_bat * 8, VHDX_MIB), off;
    AUTO(free_p) uint8_t *buf = malloc(MIB);
    int r = buf ? vhdx_alloc(x, len, &off) : -ENOMEM;

    if (r == 0 && x->file->size < off + len)
        r = disk_rw_sync(x->file, DISK_TRUNCATE, off + len, NULL, 0, 0);
    for (uint64_t i = 0; i < x->geo.n_bat && r == 0; i += MIB / 8) {
        uint64_t n = MIN(MIB / 8, x->geo.n_bat - i);
        memset(buf, 0, MIB);
        for (uint64_t k = 0; k < n; k++)
            put_le64(buf + k * 8, x->bat[i + k]);
        r = disk_write_sync(x->file, off + i * 8, buf, MIB);
    }
    if (r == 0)
        r = disk_flush_sync(x->file);
    *ret = (struct vhdx_region){ .off = off, .len = (uint32_t)len, .required = true };
    return failed(err, r);
}

static int grow_tables(struct vhdx *x, uint64_t n_bat, struct err *err)
{
    uint64_t *bat = calloc(n_bat, 8);

    if (!bat || dirty_set_size(&x->bat_dirty, n_bat * 8 / VHDX_PAGE + 1) < 0) {
        free(bat);
        return err_set(err, ENOMEM, "no memory for a BAT of %llu entries",
                       (unsigned long long)n_bat);
    }
    memcpy(bat, x->bat, MIN(n_bat, x->geo.n_bat) * 8);
    free(x->bat);
    x->bat = bat;
    return 0;
}

static int fill_fixed(struct vhdx *x, uint64_t old_blocks, struct err *err)
{
    int r = 0;

    for (uint64_t b = old_blocks; b < x->geo.n_payload && r == 0; b++) {
        uint64_t place;
        r = vhdx_alloc(x, x->params.block_size, &place);
        if (r == 0)
            r = vhdx_bat_set(x, vhdx_bat_index(x, b), place | VHDX_FULL);
    }
    if (r == 0)
        r = disk_flush_sync(&x->disk);
    return failed(err, r);
}

static int resize_vhdx(struct vhdx *x, uint64_t size, bool force, struct err *err)
{
    struct vhdx_params p = x->params;
    struct vhdx_geometry g, old = x->geo;
    struct vhdx_regions regions = x->regions;
    AUTO(free_p) uint8_t *buf = calloc(1, VHDX_PAGE + VHDX_REGION_SIZE);
    struct vhdx_log_page pages[1 + 2 * VHDX_REGION_SIZE / VHDX_PAGE];
    size_t n = 1;
    uint32_t in;
    int r;

    if (!buf)
        return err_set(err, ENOMEM, "no memory");
    p.size = size;
    if ((r = vhdx_params_check(&p, err)) < 0)
        return r;
    vhdx_geometry(&p, &g);
    if (size < x->params.size && !force && (r = tail_is_free(x, size, err)) < 0)
        return r;
    if ((r = vhdx_begin_sync(x, err)) < 0)
        return r;
    if (size < x->params.size ? (r = drop_tail(x, size, g.n_bat, err)) < 0
                              : (r = clear_rest_of_block(x, err)) < 0)
        return r;
    if ((r = item_page(x, &x->items.size, buf, &pages[0].off, &in)) < 0)
        return failed(err, r);
    put_le64(buf + in, size);
    pages[0].data = buf;
    if (g.n_bat * 8 > regions.bat.len) {
        if ((r = new_bat(x, g.n_bat, &regions.bat, err)) < 0)
            return r;
        vhdx_regions_encode(&regions, buf + VHDX_PAGE);
        for (unsigned t = 0; t < 2; t++)
            for (unsigned i = 0; i < VHDX_REGION_SIZE / VHDX_PAGE; i++)
                pages[n++] = (struct vhdx_log_page){
                    (t ? VHDX_REGION2_OFF : VHDX_REGION1_OFF) + i * VHDX_PAGE,
                    buf + VHDX_PAGE + i * VHDX_PAGE };
    }
    if ((r = grow_tables(x, MAX(g.n_bat, x->geo.n_bat), err)) < 0 ||
        (r = vhdx_log_pages_sync(x, pages, n, err)) < 0)
        return r;
    x->params = p;
    x->geo = g;
    x->regions = regions; /* the old table's space is lost until the next open */
    x->disk.size = size;
    return p.fixed && size > old.n_payload * p.block_size ? fill_fixed(x, old.n_payload, err) : 0;
}

/* ---- VHD ------------------------------------------------------------------------------------- */

static int write_footers(struct vhd *v, struct err *err)
{
    int r;

    vhd_footer_encode(&v->footer, v->footer_sector);
    if (v->footer.type == VHD_FIXED)
        return 0;
    if ((r = disk_write_sync(v->file, 0, v->footer_sector, VHD_FOOTER_SIZE)) < 0 ||
        (r = disk_flush_sync(v->file)) < 0)
        return failed(err, r);
    return vhd_end_footer(v, err);
}

static int resize_fixed(struct vhd *v, uint64_t size, bool force, struct err *err)
{
    uint64_t old = v->footer.size;
    uint8_t zeros[VHD_FOOTER_SIZE] = { 0 };
    int r;

    if (size < old && !force)
        return err_set(err, EBUSY, "shrinking a fixed disk cuts data off: it must be forced");
    v->footer.size = size;
    vhd_geometry(size, &v->footer.cyls, &v->footer.heads, &v->footer.sectors);
    vhd_footer_encode(&v->footer, v->footer_sector);
    if ((r = disk_write_sync(v->file, size, v->footer_sector, VHD_FOOTER_SIZE)) < 0 ||
        (r = disk_flush_sync(v->file)) < 0)
        return failed(err, r);
    if (size > old) /* the new footer counts: the old one becomes data */
        r = disk_write_sync(v->file, old, zeros, sizeof zeros);
    else
        r = disk_rw_sync(v->file, DISK_TRUNCATE, size + VHD_FOOTER_SIZE, NULL, 0, 0);
    if (r == 0)
        r = disk_flush_sync(v->file);
    return failed(err, r);
}

static int write_table(struct vhd *v, uint64_t at, uint32_t n, struct err *err)
{
    uint64_t len = ALIGN_UP((uint64_t)n * 4, (uint64_t)VHD_SECTOR);
    AUTO(free_p) uint8_t *buf = malloc(len);
    int r = buf ? 0 : -ENOMEM;

    if (buf) {
        memset(buf, 0xff, len);
        for (uint32_t i = 0; i < MIN(n, v->header.n_bat); i++)
            put_be32(buf + i * 4, v->bat[i]);
        r = disk_write_sync(v->file, at, buf, len);
    }
    if (r == 0)
        r = disk_flush_sync(v->file);
    return failed(err, r);
}

/* A longer table: behind the last block, then one sector of the header switches over. */
static int longer_table(struct vhd *v, uint32_t n, struct err *err)
{
    uint64_t len = ALIGN_UP((uint64_t)n * 4, (uint64_t)VHD_SECTOR);
    uint64_t at = ALIGN_UP(v->end, UINT64_C(4096));
    uint8_t p[VHD_HEADER_SIZE];
    int r;

    if ((r = write_table(v, at, n, err)) < 0)
        return r;
    v->header.bat_off = at;
    v->header.n_bat = n;
    v->end = at + len;
    if ((r = vhd_header_encode(&v->header, NULL, p, err)) < 0)
        return r;
    if ((r = disk_write_sync(v->file, v->footer.data_off, p, sizeof p)) < 0 ||
        (r = disk_flush_sync(v->file)) < 0)
        return failed(err, r);
    return 0;
}

static int resize_dynamic(struct vhd *v, uint64_t size, bool force, struct err *err)
{
    uint32_t n = (uint32_t)((size + v->block_size - 1) >> v->block_shift);
    uint64_t old = v->footer.size, in = old & (v->block_size - 1);
    int r;

    for (uint32_t i = n; i < v->header.n_bat && size < old; i++)
        if (v->bat[i] != VHD_BAT_NONE && !force)
            return err_set(err, EBUSY, "the part that would be cut off holds data near byte %llu: "
                           "free it in the guest and compact, or force it",
                           (unsigned long long)i << v->block_shift);
    if (n >= VHD_N_BAT_MAX)
        return err_set(err, EFBIG, "too many blocks of %u bytes", v->block_size);
    if ((r = vhd_begin_sync(v, err)) < 0)
        return r;
    if (size > old && in && v->bat[old >> v->block_shift] != VHD_BAT_NONE) {
        uint64_t place = (uint64_t)v->bat[old >> v->block_shift] * VHD_SECTOR + v->bitmap_bytes;
        r = disk_rw_sync(v->file, DISK_WRITE_ZEROES, place + in, NULL, v->block_size - in,
                         DISK_UNMAP);
        if (r < 0)
            return failed(err, r);
    }
    if (n > v->header.n_bat) {
        uint32_t *bat = malloc((size_t)n * 4);
        uint8_t *known = calloc(1, n);
        if (!bat || !known || dirty_set_size(&v->bat_dirty, n / (VHD_SECTOR / 4) + 1) < 0) {
            free(bat);
            free(known);
            return err_set(err, ENOMEM, "no memory for a table of %u blocks", n);
        }
        memset(bat, 0xff, (size_t)n * 4);
        memcpy(bat, v->bat, (size_t)v->header.n_bat * 4);
        if ((r = longer_table(v, n, err)) < 0) {
            free(bat);
            free(known);
            return r;
        }
        free(v->bat);
        free(v->block_known);
        v->bat = bat;
        v->block_known = known;
    }
    v->footer.size = size;
    vhd_geometry(size, &v->footer.cyls, &v->footer.heads, &v->footer.sectors);
    if ((r = write_footers(v, err)) < 0)
        return r;
    for (uint32_t i = n; i < v->header.n_bat && r == 0; i++)
        if (v->bat[i] != VHD_BAT_NONE)
            r = vhd_bat_set(v, i, VHD_BAT_NONE);
    if (r == 0)
        r = disk_flush_sync(&v->disk);
    v->disk.size = size;
    return failed(err, r);
}

static int resize_vhd(struct vhd *v, uint64_t size, bool force, struct err *err)
{
    if (size > VHD_SIZE_MAX)
        return err_set(err, EFBIG, "a VHD holds at most 2040 GiB; convert it to VHDX");
    if (v->footer.saved_state)
        return err_set(err, EBUSY, "a saved machine uses this disk");
    if (v->footer.type == VHD_DIFF)
        return err_set(err, EINVAL, "a differencing VHD has the size of its parent");
    int r = v->footer.type == VHD_FIXED ? resize_fixed(v, size, force, err)
                                        : resize_dynamic(v, size, force, err);
    if (r == 0)
        v->disk.size = size;
    return r;
}

/* ---- all ------------------------------------------------------------------------------------- */

int disk_resize(struct disk *d, uint64_t size, bool force, struct err *err)
{
    if (!size || size % d->block)
        return err_set(err, EINVAL, "the size %llu is no multiple of %u bytes",
                       (unsigned long long)size, d->block);
    if (d->read_only)
        return err_set(err, EROFS, "the disk is open for reading only");
    if (size == d->size)
        return 0;
    if (d->ops == &vhdx_ops)
        return resize_vhdx(vhdx_of(d), size, force, err);
    if (d->ops == &vhd_ops)
        return resize_vhd(vhd_of(d), size, force, err);
    if (file_fd(d) < 0 || strcmp(d->kind, "raw") != 0)
        return err_set(err, ENOTSUP, "a %s cannot be resized", d->kind);
    if (size < d->size && !force)
        return err_set(err, EBUSY, "shrinking a raw disk cuts data off: it must be forced");
    if (ftruncate(file_fd(d), (off_t)size) < 0)
        return err_errno(err, errno, "the file cannot have %llu bytes", (unsigned long long)size);
    d->size = size;
    return 0;
}

int disk_set_guid(struct disk *d, const uint8_t guid[16], struct err *err)
{
    AUTO(free_p) uint8_t *buf = calloc(1, VHDX_PAGE);
    struct vhdx_log_page page = { .data = buf };
    uint32_t in;
    int r;

    if (!buf)
        return err_set(err, ENOMEM, "no memory");
    if (d->read_only)
        return err_set(err, EROFS, "the disk is open for reading only");
    if (d->ops == &vhd_ops) {
        struct vhd *v = vhd_of(d);
        memcpy(v->footer.uuid, guid, 16);
        memcpy(d->guid, guid, 16);
        vhd_footer_encode(&v->footer, v->footer_sector);
        if (v->footer.type == VHD_FIXED)
            return failed(err, disk_write_sync(v->file, v->footer.size, v->footer_sector,
                                               VHD_FOOTER_SIZE));
        if ((r = vhd_begin_sync(v, err)) < 0)
            return r;
        return write_footers(v, err);
    }
    if (d->ops != &vhdx_ops)
        return err_set(err, ENOTSUP, "a %s disk has no identity", d->kind);
    struct vhdx *x = vhdx_of(d);
    if ((r = vhdx_begin_sync(x, err)) < 0)
        return r;
    if ((r = item_page(x, &x->items.page83, buf, &page.off, &in)) < 0)
        return failed(err, r);
    guid_swap(guid, buf + in);
    memcpy(d->guid, guid, 16);
    return vhdx_log_pages_sync(x, &page, 1, err);
}
