/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhd_open.c - loading a VHD: footers, dynamic header, locators, table.  Blocks (runs the loop). */
#include "disk/vhd.h"

#include <errno.h>

#include "base/bytes.h"
#include "disk/guid.h"
#include "disk/layer.h"

/* Which footer counts: the end one when it is good, else the front one of a dynamic disk. */
static int load_footer(struct vhd *v, struct err *err)
{
    uint8_t end[VHD_FOOTER_SIZE], front[VHD_FOOTER_SIZE];
    struct vhd_footer e, f;
    struct err why = { 0 };
    uint64_t size = v->file->size;
    int r;

    if (size < VHD_FOOTER_SIZE)
        return err_set(err, EILSEQ, "%llu bytes are too few for a VHD", (unsigned long long)size);
    if ((r = disk_read_sync(v->file, size - VHD_FOOTER_SIZE, end, sizeof end)) < 0 ||
        (r = disk_read_sync(v->file, 0, front, sizeof front)) < 0)
        return err_errno(err, -r, "the footers cannot be read");
    bool end_ok = vhd_footer_decode(end, VHD_FOOTER_SIZE, &e, &why) == 0 ||
                  vhd_footer_decode(end + 1, VHD_FOOTER_SIZE - 1, &e, &why) == 0;
    bool front_ok = vhd_footer_decode(front, VHD_FOOTER_SIZE, &f, NULL) == 0 &&
                    f.type != VHD_FIXED;
    if (!end_ok && !front_ok)
        return err_set(err, why.code, "no good footer: %s", why.text);
    v->footer = end_ok ? e : f;
    v->end_bad = !end_ok;
    v->front_bad = v->footer.type != VHD_FIXED && !front_ok;
    v->footers_differ = end_ok && front_ok && memcmp(e.raw, f.raw, VHD_FOOTER_SIZE) != 0;
    return 0;
}

static char *locator_text(struct vhd *v, const struct vhd_locator *l)
{
    if (!l->len || l->len > VHD_LOCATOR_BYTES_MAX || !range_ok(l->off, l->len, v->file->size))
        return NULL;
    AUTO(free_p) uint8_t *p = malloc(l->len);
    if (!p || disk_read_sync(v->file, l->off, p, l->len) < 0)
        return NULL;
    return utf16_decode(p, l->len / 2, false);
}

static void load_locators(struct vhd *v)
{
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        const struct vhd_locator *l = &v->header.loc[i];
        if (l->code == VHD_LOC_W2RU && !v->loc_relative)
            v->loc_relative = locator_text(v, l);
        else if (l->code == VHD_LOC_W2KU && !v->loc_absolute)
            v->loc_absolute = locator_text(v, l);
    }
}

static int load_header(struct vhd *v, bool repair, struct err *err)
{
    uint8_t p[VHD_HEADER_SIZE];
    int r;

    if (!range_ok(v->footer.data_off, VHD_HEADER_SIZE, v->file->size))
        return err_set(err, EILSEQ, "the dynamic header at %#llx lies outside the file",
                       (unsigned long long)v->footer.data_off);
    if ((r = disk_read_sync(v->file, v->footer.data_off, p, sizeof p)) < 0)
        return err_errno(err, -r, "the dynamic header cannot be read");
    if ((r = vhd_header_decode(p, &v->footer, repair, &v->header, err)) < 0)
        return r;
    v->block_size = v->header.block_size;
    v->block_shift = 31 - (unsigned)__builtin_clz(v->block_size);
    v->bitmap_bytes = vhd_bitmap_bytes(v->block_size);
    if (!range_ok(v->header.bat_off, (uint64_t)v->header.n_bat * 4, v->file->size))
        return err_set(err, EILSEQ, "the table of %u blocks lies outside the file",
                       v->header.n_bat);
    if (v->footer.type == VHD_DIFF)
        load_locators(v);
    return 0;
}

static int load_bat(struct vhd *v, struct err *err)
{
    uint64_t bytes = (uint64_t)v->header.n_bat * 4;
    int r = 0;

    v->bat = malloc(bytes);
    v->block_known = calloc(1, v->header.n_bat);
    if (!v->bat || !v->block_known || dirty_set_size(&v->bat_dirty, bytes / VHD_SECTOR + 1) < 0)
        return err_set(err, ENOMEM, "no memory for a table of %u blocks", v->header.n_bat);
    for (uint64_t at = 0; at < bytes && r == 0; at += MIB)
        r = disk_read_sync(v->file, v->header.bat_off + at, (uint8_t *)v->bat + at,
                           MIN(bytes - at, MIB));
    if (r < 0)
        return err_errno(err, -r, "the block table cannot be read");
    for (uint64_t i = 0; i < v->header.n_bat; i++)
        v->bat[i] = be32toh(v->bat[i]);
    return 0;
}

uint64_t vhd_meta_end(const struct vhd *v)
{
    uint64_t end = MAX(v->footer.data_off + VHD_HEADER_SIZE,
                       v->header.bat_off +
                           ALIGN_UP((uint64_t)v->header.n_bat * 4, (uint64_t)VHD_SECTOR));

    for (unsigned i = 0; i < VHD_LOCATORS && v->footer.type == VHD_DIFF; i++) {
        const struct vhd_locator *l = &v->header.loc[i];
        if (l->code && range_ok(l->off, l->len, v->file->size))
            end = MAX(end, ALIGN_UP(l->off + l->len, (uint64_t)VHD_SECTOR));
    }
    return end;
}

/* ---- the table ------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static int tell(const struct vhd_finding *f, struct err *err, uint64_t index, const char *text)
{
    if (!f)
        return err_set(err, EILSEQ, "%s (see 'verdin disk check')", text);
    f->say(f->ctx, index, text);
    return 0;
}

static bool over_metadata(const struct vhd *v, uint64_t place, uint64_t len)
{
    uint64_t bat_len = (uint64_t)v->header.n_bat * 4;

    if (place < VHD_FOOTER_SIZE ||
        (place < v->footer.data_off + VHD_HEADER_SIZE && v->footer.data_off < place + len) ||
        (place < v->header.bat_off + bat_len && v->header.bat_off < place + len))
        return true;
    for (unsigned i = 0; i < VHD_LOCATORS && v->footer.type == VHD_DIFF; i++) {
        const struct vhd_locator *l = &v->header.loc[i];
        if (l->code && l->len <= VHD_LOCATOR_BYTES_MAX && l->off < place + len &&
            place < l->off + l->len)
            return true;
    }
    return false;
}

int vhd_bat_check(struct vhd *v, const struct vhd_finding *f, struct err *err)
{
    uint64_t need = (uint64_t)v->bitmap_bytes + v->block_size, n_blocks, n = 0;
    AUTO(free_p) uint64_t *places = malloc((size_t)v->header.n_bat * sizeof *places + 8);
    char text[160];
    int r = 0;

    if (!places)
        return err_set(err, ENOMEM, "no memory for a table of %u blocks", v->header.n_bat);
    n_blocks = (v->footer.size + v->block_size - 1) >> v->block_shift;
    v->end = vhd_meta_end(v);
    for (uint64_t i = 0; i < v->header.n_bat && r == 0; i++) {
        if (v->bat[i] == VHD_BAT_NONE)
            continue;
        uint64_t place = (uint64_t)v->bat[i] * VHD_SECTOR;
        const char *wrong = NULL;
        /* The very last block may be short: some writers end the file with the disk. */
        if (!range_ok(place, v->bitmap_bytes, v->file->size))
            wrong = "outside the file";
        else if (i >= n_blocks)
            wrong = "behind the end of the disk";
        else if (over_metadata(v, place, need))
            wrong = "over metadata";
        if (wrong) {
            snprintf(text, sizeof text, "block %llu is placed at %#llx, %s",
                     (unsigned long long)i, (unsigned long long)place, wrong);
            r = tell(f, err, i, text);
            continue;
        }
        if (place + need > v->file->size) {
            snprintf(text, sizeof text, "block %llu at %#llx is cut off by the end of the file",
                     (unsigned long long)i, (unsigned long long)place);
            r = tell(f, err, i, text);
        }
        places[n++] = place;
        v->end = MAX(v->end, place + need);
    }
    if (r < 0)
        return r;
    qsort(places, n, sizeof *places, by_place);
    for (uint64_t i = 1; i < n && r == 0; i++) {
        if (places[i] - places[i - 1] >= need)
            continue;
        snprintf(text, sizeof text, "two blocks share the bytes at %#llx",
                 (unsigned long long)places[i]);
        r = tell(f, err, UINT64_MAX, text);
    }
    return r;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void resume(void *ctx, struct disk_rq *rq, int err)
{
    struct vhd *v = ctx;

    if (err)
        disk_finish(rq, err);
    else
        v->disk.ops->submit(&v->disk, rq);
}

static int load_dynamic(struct vhd *v, const struct disk_open *how, struct err *err)
{
    int r;

    if ((r = load_header(v, how->repair, err)) < 0 || (r = load_bat(v, err)) < 0)
        return r;
    if (!how->repair && (r = vhd_bat_check(v, NULL, err)) < 0)
        return r;
    if (bm_init(&v->bits, v->file, v->bitmap_bytes) < 0)
        return err_set(err, ENOMEM, "no memory to open a VHD");
    v->bits.resume = resume;
    v->bits.ctx = v;
    return 0;
}

static void present(struct vhd *v, const struct disk_open *how)
{
    struct disk *d = &v->disk;

    d->size = v->footer.size;
    d->block = VHD_SECTOR;
    d->phys_block = VHD_SECTOR;
    d->discard_block = v->footer.type == VHD_FIXED ? 0 : 4096;
    d->read_only = !how->writable || v->file->read_only;
    d->growable = false;
    d->write_cache = true;
    memcpy(d->guid, v->footer.uuid, 16);
    d->chs.cyls = v->footer.cyls;
    d->chs.heads = v->footer.heads;
    d->chs.sectors = v->footer.sectors;
    vhd_footer_encode(&v->footer, v->footer_sector);
}

int vhd_open(struct disk *file, const struct disk_open *how, struct vhd **ret, struct err *err)
{
    struct vhd *v = aligned_alloc(_Alignof(struct vhd), sizeof *v);
    int r;

    if (!v) {
        disk_close(file, NULL);
        return err_set(err, ENOMEM, "no memory to open a VHD");
    }
    memset(v, 0, sizeof *v);
    disk_init_over(&v->disk, &vhd_ops, file);
    v->file = file;
    if ((r = load_footer(v, err)) < 0)
        goto out;
    if (v->footer.type == VHD_FIXED) {
        if (v->footer.size > file->size - VHD_FOOTER_SIZE)
            r = err_set(err, EILSEQ, "the file is too short for a fixed disk of %llu bytes",
                        (unsigned long long)v->footer.size);
    } else {
        r = load_dynamic(v, how, err);
    }
    if (r < 0)
        goto out;
    present(v, how);
    *ret = v;
    return 0;
out:
    v->disk.ops->close(&v->disk, NULL);
    return r;
}

void vhd_set_parent(struct vhd *v, struct disk *parent)
{
    v->parent = parent;
    v->disk.stack = MAX(v->disk.stack, parent->stack);
}
