/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx_open.c - loading a VHDX: headers, log replay, regions, metadata, BAT.
 *
 * Spec: [MS-VHDX] 2.2-2.6.  A dirty log is replayed into the file when that may be written, and
 * seen through when not: metadata is never read around it.  Blocks (runs the loop). */
#include "disk/vhdx.h"

#include <errno.h>

#include "base/bytes.h"
#include "disk/guid.h"
#include "disk/layer.h"

/* ---- reading through a log ------------------------------------------------------------------- */

void vhdx_replay_patch(const struct vhdx_replay *r, uint64_t off, uint8_t *buf, uint64_t len)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct vhdx_log_op *op = &r->op[i];
        uint64_t from = MAX(op->off, off), to = MIN(op->off + op->len, off + len);
        if (from >= to)
            continue;
        if (op->page)
            memcpy(buf + (from - off), op->page + (from - op->off), to - from);
        else
            memset(buf + (from - off), 0, to - from);
    }
}

int vhdx_meta_read(struct vhdx *v, uint64_t off, void *buf, uint64_t len)
{
    int r = disk_read_sync(v->file, off, buf, len);

    if (r == 0)
        vhdx_replay_patch(&v->replay, off, buf, len);
    return r;
}

/* ---- headers and log ------------------------------------------------------------------------- */

static int load_header(struct vhdx *v, struct err *err)
{
    AUTO(free_p) uint8_t *page = calloc(2, VHDX_HEADER_SIZE);
    uint8_t magic[8];
    int r;

    if (!page)
        return err_set(err, ENOMEM, "no memory");
    if ((r = disk_read_sync(v->file, 0, magic, 8)) < 0 ||
        (r = disk_read_sync(v->file, VHDX_HEADER1_OFF, page, VHDX_HEADER_SIZE)) < 0 ||
        (r = disk_read_sync(v->file, VHDX_HEADER2_OFF, page + VHDX_HEADER_SIZE,
                            VHDX_HEADER_SIZE)) < 0)
        return err_errno(err, -r, "the headers cannot be read");
    if (memcmp(magic, VHDX_FILE_MAGIC, 8) != 0)
        return err_set(err, EILSEQ, "the file does not begin with 'vhdxfile'");
    if ((r = vhdx_header_pick(page, page + VHDX_HEADER_SIZE, &v->hdr, &v->slot, &v->header_bad,
                              err)) < 0)
        return r;
    if (v->hdr.log_len && !range_ok(v->hdr.log_off, v->hdr.log_len, v->file->size))
        return err_set(err, EILSEQ, "the log at %#llx lies outside the file",
                       (unsigned long long)v->hdr.log_off);
    return 0;
}

static int replay_into_file(struct vhdx *v, struct err *err)
{
    AUTO(free_p) uint8_t *zeros = calloc(1, 256 * KIB);
    int r = zeros ? 0 : -ENOMEM;

    guid_random(v->hdr.file_guid); /* a replay is a modification */
    if (r == 0)
        r = vhdx_header_write(v);
    for (size_t i = 0; i < v->replay.n && r == 0; i++) {
        const struct vhdx_log_op *op = &v->replay.op[i];
        if (op->page)
            r = disk_write_sync(v->file, op->off, op->page, VHDX_PAGE);
        else
            r = disk_rw_sync(v->file, DISK_WRITE_ZEROES, op->off, NULL,
                             op->off < v->file->size ? MIN(op->len, v->file->size - op->off) : 0,
                             DISK_UNMAP);
    }
    uint64_t last = ALIGN_UP(v->replay.last, VHDX_MIB);
    if (r == 0 && v->file->growable && v->file->size < last)
        r = disk_rw_sync(v->file, DISK_TRUNCATE, last, NULL, 0, 0);
    if (r == 0)
        r = disk_flush_sync(v->file);
    memset(v->hdr.log_guid, 0, 16);
    if (r == 0)
        r = vhdx_header_write(v);
    vhdx_replay_done(&v->replay);
    return r < 0 ? err_errno(err, -r, "the log could not be replayed") : 0;
}

static int load_log(struct vhdx *v, struct err *err)
{
    if (guid_is_zero(v->hdr.log_guid))
        return 0;
    v->log_was_dirty = true;
    if (v->hdr.log_version != 0)
        return err_set(err, ENOTSUP, "the log has version %u: only 0 is known",
                       v->hdr.log_version);
    AUTO(free_p) uint8_t *ring = malloc(v->hdr.log_len);
    if (!ring)
        return err_set(err, ENOMEM, "no memory for a log of %u MiB",
                       (unsigned)(v->hdr.log_len / VHDX_MIB));
    int r = disk_read_sync(v->file, v->hdr.log_off, ring, v->hdr.log_len);
    if (r < 0)
        return err_errno(err, -r, "the log cannot be read");
    r = vhdx_log_scan(ring, v->hdr.log_len, v->hdr.log_guid, v->hdr.log_off, &v->replay, err);
    if (r < 0)
        return r;
    if (v->file->size < v->replay.flushed)
        return err_set(err, EILSEQ,
                       "the file was cut: it has %llu bytes, its log was written at %llu",
                       (unsigned long long)v->file->size, (unsigned long long)v->replay.flushed);
    return v->file->read_only ? 0 : replay_into_file(v, err);
}

/* ---- regions and metadata -------------------------------------------------------------------- */

static int load_regions(struct vhdx *v, struct err *err)
{
    AUTO(free_p) uint8_t *t = malloc(VHDX_REGION_SIZE);
    struct vhdx_regions two;
    struct err first, second;
    int r;

    if (!t)
        return err_set(err, ENOMEM, "no memory");
    if ((r = vhdx_meta_read(v, VHDX_REGION1_OFF, t, VHDX_REGION_SIZE)) < 0)
        return err_errno(err, -r, "the region table cannot be read");
    int r1 = vhdx_regions_decode(t, &v->regions, &first);
    if ((r = vhdx_meta_read(v, VHDX_REGION2_OFF, t, VHDX_REGION_SIZE)) < 0)
        return err_errno(err, -r, "the second region table cannot be read");
    int r2 = vhdx_regions_decode(t, &two, &second);
    v->region_bad[0] = r1 < 0;
    v->region_bad[1] = r2 < 0;
    if (r1 < 0 && r2 < 0)
        return err_set(err, first.code, "%s", first.text);
    if (r1 < 0)
        v->regions = two;
    const struct vhdx_region *g[2] = { &v->regions.bat, &v->regions.meta };
    for (int i = 0; i < 2; i++) {
        if (!range_ok(g[i]->off, g[i]->len, ALIGN_UP(v->file->size, VHDX_MIB)))
            return err_set(err, EILSEQ, "the %s region at %#llx lies outside the file",
                           i ? "metadata" : "BAT", (unsigned long long)g[i]->off);
        if (v->hdr.log_len && g[i]->off < v->hdr.log_off + v->hdr.log_len &&
            v->hdr.log_off < g[i]->off + g[i]->len)
            return err_set(err, EILSEQ, "the %s region overlaps the log",
                           i ? "metadata" : "BAT");
    }
    return 0;
}

static int item_read(struct vhdx *v, const struct vhdx_item *i, void *to)
{
    return vhdx_meta_read(v, v->regions.meta.off + i->off, to, i->len);
}

static int load_params(struct vhdx *v, struct err *err)
{
    struct vhdx_params *p = &v->params;
    const struct vhdx_items *it = &v->items;
    uint8_t b[16], l[4], ph[4], s[8];
    int r;

    if ((r = item_read(v, &it->params, b)) < 0 || (r = item_read(v, &it->size, s)) < 0 ||
        (r = item_read(v, &it->logical, l)) < 0 || (r = item_read(v, &it->physical, ph)) < 0 ||
        (r = item_read(v, &it->page83, p->page83)) < 0)
        return err_errno(err, -r, "the metadata cannot be read");
    p->block_size = get_le32(b);
    p->fixed = get_le32(b + 4) & VHDX_PARAM_FIXED;
    p->has_parent = get_le32(b + 4) & VHDX_PARAM_HAS_PARENT;
    if (p->has_parent)
        p->fixed = false; /* is ignored then, says the text */
    p->size = get_le64(s);
    p->logical = get_le32(l);
    p->physical = get_le32(ph);
    if ((r = vhdx_params_check(p, err)) < 0)
        return r;
    if (p->has_parent != it->locator.there)
        return err_set(err, EILSEQ, p->has_parent
                                        ? "a differencing disk without a parent locator"
                                        : "a parent locator in a disk that has no parent");
    if (!p->has_parent)
        return 0;
    AUTO(free_p) uint8_t *loc = malloc(it->locator.len);
    if (!loc || (r = item_read(v, &it->locator, loc)) < 0)
        return err_set(err, EIO, "the parent locator cannot be read");
    return vhdx_locator_decode(loc, it->locator.len, &v->locator, err);
}

static int load_metadata(struct vhdx *v, struct err *err)
{
    AUTO(free_p) uint8_t *t = malloc(VHDX_META_TABLE);
    int r;

    if (!t)
        return err_set(err, ENOMEM, "no memory");
    if ((r = vhdx_meta_read(v, v->regions.meta.off, t, VHDX_META_TABLE)) < 0)
        return err_errno(err, -r, "the metadata table cannot be read");
    if ((r = vhdx_table_decode(t, v->regions.meta.len, &v->items, err)) < 0)
        return r;
    if ((r = load_params(v, err)) < 0)
        return r;
    vhdx_geometry(&v->params, &v->geo);
    if (v->geo.n_bat * 8 > v->regions.bat.len)
        return err_set(err, EILSEQ, "the BAT region has %u bytes, %llu entries are needed",
                       v->regions.bat.len, (unsigned long long)v->geo.n_bat);
    return 0;
}

/* ---- BAT ------------------------------------------------------------------------------------- */

/* Holes of the file stay untouched zero pages of memory. */
int vhdx_bat_load(struct vhdx *v, struct err *err)
{
    const uint64_t bytes = v->geo.n_bat * 8, step = MIB;

    v->bat = calloc(v->geo.n_bat, 8);
    if (!v->bat || dirty_set_size(&v->bat_dirty, bytes / VHDX_PAGE + 1) < 0)
        return err_set(err, ENOMEM, "no memory for a BAT of %llu entries",
                       (unsigned long long)v->geo.n_bat);
    for (uint64_t at = 0; at < bytes;) {
        struct disk_extent x = { .kind = DISK_EXT_DATA, .len = step };
        uint64_t off = v->regions.bat.off + at;
        if (off < v->file->size)
            disk_map(v->file, off, MIN(bytes - at, v->file->size - off), &x);
        uint64_t n = MIN(bytes - at, x.len);
        if (x.kind != DISK_EXT_ABSENT) {
            n = MIN(n, step);
            int r = disk_read_sync(v->file, off, (uint8_t *)v->bat + at, n);
            if (r < 0)
                return err_errno(err, -r, "the BAT cannot be read");
        }
        at += n;
    }
    vhdx_replay_patch(&v->replay, v->regions.bat.off, (uint8_t *)v->bat, bytes);
    for (uint64_t i = 0; i < v->geo.n_bat; i++) {
        if (v->bat[i]) /* do not touch what is nothing */
            v->bat[i] = le64toh(v->bat[i]);
    }
    return 0;
}

static const char *entry_wrong(const struct vhdx *v, uint64_t index, uint64_t e, char *text,
                               size_t size)
{
    uint64_t ratio = UINT64_C(1) << v->geo.ratio_shift, state = e & VHDX_BAT_STATE;
    bool bitmap = index % (ratio + 1) == ratio;
    uint64_t off = e & VHDX_BAT_OFFSET, len = bitmap ? VHDX_BITMAP_BLOCK : v->params.block_size;

    if (e & VHDX_BAT_RESERVED)
        return "reserved bits are set";
    if (bitmap && !v->params.has_parent && e)
        return "a bitmap block in a disk without a parent";
    if (bitmap ? state != VHDX_NOT_PRESENT && state != VHDX_FULL
               : state == 4 || state == 5 || (state == VHDX_PARTIAL && !v->params.has_parent)) {
        snprintf(text, size, "state %u is not possible there", (unsigned)state);
        return text;
    }
    if (state == VHDX_FULL || state == VHDX_PARTIAL || off) {
        if (off < VHDX_FIRST_BLOCK)
            return "it points into the first MiB";
        if (state == VHDX_NOT_PRESENT || state == VHDX_ZERO)
            return "it has a place although it has no data";
        /* qemu once wrote short last blocks: what is missing reads as zero. */
        if (off >= v->file->size && MAX(v->file->size, v->replay.last) < off + len) {
            snprintf(text, size, "it points to %#llx, outside the file", (unsigned long long)off);
            return text;
        }
    }
    if (state == VHDX_PARTIAL) {
        uint64_t bm = index / (ratio + 1) * (ratio + 1) + ratio;
        if ((v->bat[bm] & VHDX_BAT_STATE) != VHDX_FULL)
            return "it is partly present but has no bitmap block";
    }
    return NULL;
}

int vhdx_bat_check(struct vhdx *v, const struct vhdx_finding *f, struct err *err)
{
    for (uint64_t i = 0; i < v->geo.n_bat; i++) {
        char tmp[80], text[200];
        const char *wrong = v->bat[i] ? entry_wrong(v, i, v->bat[i], tmp, sizeof tmp) : NULL;
        if (!wrong)
            continue;
        snprintf(text, sizeof text, "BAT entry %llu (%#llx): %s", (unsigned long long)i,
                 (unsigned long long)v->bat[i], wrong);
        if (!f)
            return err_set(err, EILSEQ, "%s (see 'verdin disk check')", text);
        f->say(f->ctx, i, text);
    }
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void resume(void *ctx, struct disk_rq *rq, int err)
{
    struct vhdx *v = ctx;

    if (err)
        disk_finish(rq, err);
    else
        v->disk.ops->submit(&v->disk, rq);
}

static void page_loaded(void *ctx, struct bm_page *p)
{
    struct vhdx *v = ctx;

    vhdx_replay_patch(&v->replay, p->file_off, p->data, VHDX_PAGE);
}

static void present(struct vhdx *v, const struct disk_open *how)
{
    struct disk *d = &v->disk;

    d->size = v->params.size;
    d->block = v->params.logical;
    d->phys_block = MAX(v->params.physical, v->params.logical);
    d->discard_block = v->params.fixed ? 0 : 4096;
    d->read_only = !how->writable || v->file->read_only;
    d->growable = false;
    d->write_cache = true;
    guid_swap(v->params.page83, d->guid);
}

int vhdx_open(struct disk *file, const struct disk_open *how, struct vhdx **ret, struct err *err)
{
    struct vhdx *v = aligned_alloc(_Alignof(struct vhdx), sizeof *v);
    int r;

    if (!v) {
        disk_close(file, NULL);
        return err_set(err, ENOMEM, "no memory to open a VHDX");
    }
    memset(v, 0, sizeof *v);
    disk_init_over(&v->disk, &vhdx_ops, file);
    v->file = file;
    v->phase = VHDX_IDLE;
    if (how->data_guid)
        guid_swap(how->data_guid, v->data_guid);
    if ((r = load_header(v, err)) < 0 || (r = load_log(v, err)) < 0 ||
        (r = load_regions(v, err)) < 0 || (r = load_metadata(v, err)) < 0 ||
        (r = vhdx_bat_load(v, err)) < 0)
        goto out;
    if (!how->repair && ((r = vhdx_bat_check(v, NULL, err)) < 0 ||
                         (!file->read_only && (r = vhdx_space_scan(v, NULL, err)) < 0)))
        goto out;
    if (!file->read_only && !v->hdr.log_len) {
        r = err_set(err, ENOTSUP, "a VHDX without room for a log cannot be written");
        goto out;
    }
    if ((r = bm_init(&v->bits, file, VHDX_PAGE)) < 0) {
        err_set(err, ENOMEM, "no memory to open a VHDX");
        goto out;
    }
    v->bits.resume = resume;
    v->bits.loaded = page_loaded;
    v->bits.ctx = v;
    v->durable_size = file->size;
    present(v, how);
    *ret = v;
    return 0;
out:
    v->disk.ops->close(&v->disk, NULL);
    return r;
}

void vhdx_set_parent(struct vhdx *v, struct disk *parent)
{
    v->parent = parent;
    v->disk.stack = MAX(v->disk.stack, parent->stack);
}
