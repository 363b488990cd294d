/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chain.c - work on chains of differencing disks: merge, re-base.  Offline.
 *
 * A merge changes the VHDX parent's DataWriteGuid.  The new value is chosen first and noted in the
 * child as a second linkage, so that the child opens whether or not the merge came to write. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "disk/file.h"
#include "disk/guid.h"
#include "disk/job.h"
#include "disk/vhd.h"
#include "disk/vhdx.h"

#define STEP MIB

/* ---- locators -------------------------------------------------------------------------------- */

/* Where a locator of 'len' bytes can stand in the metadata region; also its table entry. */
static int locator_place(struct vhdx *x, const uint8_t *table, size_t len, uint32_t *ret_off,
                         uint32_t *ret_entry)
{
    static const uint8_t guid[16] = VHDX_ITEM_LOCATOR;
    unsigned n = get_le16(table + VHDX_META_COUNT);
    uint32_t end = VHDX_META_TABLE, old = x->items.locator.off;
    bool old_fits = range_ok(old, len, x->regions.meta.len);

    for (unsigned i = 0; i < n; i++) {
        uint32_t e = VHDX_META_ENTRIES + i * VHDX_META_ENTRY;
        uint32_t off = get_le32(table + e + 16), item_len = get_le32(table + e + 20);
        if (memcmp(table + e, guid, 16) == 0) {
            *ret_entry = e;
        } else {
            old_fits = old_fits && !(off < old + len && old < off + item_len);
        }
        end = MAX(end, off + item_len);
    }
    *ret_off = old_fits ? old : ALIGN_UP(end, 4096u);
    return range_ok(*ret_off, len, x->regions.meta.len) ? 0 : -ENOSPC;
}

static int set_locator(struct vhdx *x, const struct vhdx_locator *l, struct err *err)
{
    const size_t max = 64 * KIB;
    AUTO(free_p) uint8_t *table = malloc(VHDX_META_TABLE);
    AUTO(free_p) uint8_t *item = malloc(max);
    AUTO(free_p) uint8_t *area = calloc(1, max + 2 * VHDX_PAGE);
    struct vhdx_log_page pages[20];
    uint32_t off, entry = 0;
    size_t n = 0;
    int r;

    if (!table || !item || !area)
        return err_set(err, ENOMEM, "no memory");
    size_t len = vhdx_locator_encode(l, item, max);
    if (!len)
        return err_set(err, ENAMETOOLONG, "the path of the parent is too long to be noted");
    if ((r = vhdx_begin_sync(x, err)) < 0)
        return r;
    if ((r = vhdx_meta_read(x, x->regions.meta.off, table, VHDX_META_TABLE)) < 0 ||
        (r = locator_place(x, table, len, &off, &entry)) < 0)
        return err_errno(err, -r, "the parent locator cannot be placed");
    put_le32(table + entry + 16, off);
    put_le32(table + entry + 20, (uint32_t)len);
    uint32_t page = ALIGN_DOWN(entry, (uint32_t)VHDX_PAGE);
    pages[n++] = (struct vhdx_log_page){ x->regions.meta.off + page, table + page };
    uint64_t first = ALIGN_DOWN(off, (uint32_t)VHDX_PAGE);
    uint64_t bytes = ALIGN_UP(off + len, UINT64_C(4096)) - first;
    if ((r = vhdx_meta_read(x, x->regions.meta.off + first, area, bytes)) < 0)
        return err_errno(err, -r, "the metadata cannot be read");
    memcpy(area + (off - first), item, len);
    for (uint64_t at = 0; at < bytes; at += VHDX_PAGE)
        pages[n++] = (struct vhdx_log_page){ x->regions.meta.off + first + at, area + at };
    r = vhdx_log_pages_sync(x, pages, n, err);
    if (r == 0)
        x->items.locator = (struct vhdx_item){ off, (uint32_t)len, true };
    return r;
}

/* The child's own content does not change: neither does its DataWriteGuid. */
static void keep_data_guid(struct vhdx *x)
{
    memcpy(x->data_guid, x->hdr.data_guid, 16);
}

static void braced(const uint8_t guid[16], char to[GUID_TEXT + 2])
{
    char text[GUID_TEXT];

    guid_text(guid, text);
    snprintf(to, GUID_TEXT + 2, "{%s}", text);
}

static int relink_vhdx(struct vhdx *x, const char *path, const char *parent,
                       const uint8_t guid[16], const uint8_t *second, struct err *err)
{
    AUTO(free_p) char *relative = disk_relative_name(path, parent);
    AUTO(free_p) char *absolute = disk_absolute_name(parent);
    char one[GUID_TEXT + 2], two[GUID_TEXT + 2];
    struct vhdx_locator l = { .linkage = one, .linkage2 = second ? two : NULL,
                              .relative = relative, .absolute = absolute };

    if (!relative || !absolute)
        return err_set(err, ENOENT, "'%s' lies in no folder", parent);
    braced(guid, one);
    if (second)
        braced(second, two);
    keep_data_guid(x);
    return set_locator(x, &l, err);
}

/* New names behind the last block, then the header (one write) that points to them. */
static int relink_vhd(struct vhd *v, const char *path, const char *parent,
                      const struct disk_info *up, struct err *err)
{
    AUTO(free_p) char *relative = disk_relative_name(path, parent);
    AUTO(free_p) char *absolute = disk_absolute_name(parent);
    uint8_t buf[8192], p[VHD_HEADER_SIZE];
    const char *text[2] = { absolute, relative };
    uint64_t at;
    int r;

    if (!relative || !absolute)
        return err_set(err, ENOENT, "'%s' lies in no folder", parent);
    if ((r = vhd_begin_sync(v, err)) < 0)
        return r;
    at = ALIGN_UP(v->end, UINT64_C(4096));
    memset(v->header.loc, 0, sizeof v->header.loc);
    for (unsigned i = 0; i < 2; i++) {
        memset(buf, 0, sizeof buf);
        size_t n = utf16_encode(text[i], buf, sizeof buf / 2, false);
        if (n == SIZE_MAX)
            return err_set(err, ENAMETOOLONG, "the path of the parent is too long to be noted");
        uint64_t space = ALIGN_UP((uint64_t)n * 2, (uint64_t)VHD_SECTOR);
        v->header.loc[i] = (struct vhd_locator){ i ? VHD_LOC_W2RU : VHD_LOC_W2KU,
                                                 (uint32_t)space, (uint32_t)n * 2, at };
        if ((r = disk_write_sync(v->file, at, buf, space)) < 0)
            return err_errno(err, -r, "the parent locator cannot be written");
        at += space;
    }
    v->end = at;
    memcpy(v->header.parent_uuid, up->guid, 16);
    v->header.parent_time = 0;
    const char *name = strrchr(absolute, '\\') ? strrchr(absolute, '\\') + 1 : absolute;
    if ((r = vhd_header_encode(&v->header, name, p, err)) < 0)
        return r;
    if ((r = disk_flush_sync(v->file)) < 0 ||
        (r = disk_write_sync(v->file, v->footer.data_off, p, sizeof p)) < 0 ||
        (r = disk_flush_sync(v->file)) < 0)
        return err_errno(err, -r, "the header cannot be written");
    return vhd_end_footer(v, err);
}

/* ---- merge ----------------------------------------------------------------------------------- */

/* Does another image of this folder have the parent? */
static int find_sibling(struct disk_io *io, const char *near, const char *child,
                        const struct disk_info *up, struct err *err)
{
    char folder[PATH_MAX], path[PATH_MAX + 300];
    const char *slash = strrchr(near, '/');
    struct stat a, b;
    struct dirent *e;
    int r = 0;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)MAX(slash - near, 1) : 1,
             slash ? near : ".");
    DIR *d = opendir(folder);
    while (d && r == 0 && (e = readdir(d))) {
        struct disk *other;
        struct disk_info info;
        struct disk_open how = { .no_parent = true, .no_lock = true, .format = up->format };
        if (disk_format_of_path(e->d_name) != up->format)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (stat(path, &a) < 0 || stat(child, &b) < 0 ||
            (a.st_dev == b.st_dev && a.st_ino == b.st_ino) ||
            disk_open(io, path, &how, &other, NULL) < 0)
            continue;
        disk_get_info(other, &info);
        const uint8_t *id = up->format == DISK_FMT_VHDX ? up->data_guid : up->guid;
        if (info.has_parent && memcmp(info.parent_guid, id, 16) == 0)
            r = err_set(err, EBUSY, "'%s' has the same parent and would be damaged", path);
        disk_close(other, NULL);
    }
    if (d)
        closedir(d);
    return r;
}

/* What the child itself holds, run by run. */
static int merge_content(struct disk *child, struct disk *parent, const struct disk_job *job,
                         struct err *err)
{
    AUTO(free_p) uint8_t *buf = malloc(STEP);
    struct disk_extent x;
    int r = buf ? 0 : -ENOMEM;

    for (uint64_t off = 0; off < child->size && r == 0; off += x.len) {
        if ((r = disk_job_step(job, off, child->size, err)) < 0)
            return r;
        if ((r = disk_map(child, off, MIN(child->size - off, STEP), &x)) < 0)
            break;
        if (x.kind == DISK_EXT_DATA) {
            r = disk_read_sync(child, off, buf, x.len);
            if (r == 0)
                r = disk_write_sync(parent, off, buf, x.len);
        } else if (x.kind == DISK_EXT_ZERO) {
            r = disk_rw_sync(parent, DISK_WRITE_ZEROES, off, NULL, x.len, DISK_UNMAP);
        }
    }
    if (r == 0)
        r = disk_flush_sync(parent);
    return r < 0 ? err_errno(err, -r, "merging failed") : 0;
}

static int merge_into(struct disk_io *io, const char *path, struct disk *child,
                      const char *parent_path, bool force, const struct disk_job *job,
                      struct err *err)
{
    struct disk_open how = { .writable = true };
    struct disk_info info, up;
    struct disk *parent;
    uint8_t next[16];
    int r;

    disk_get_info(child, &info);
    how.format = info.format;
    guid_random(next);
    how.data_guid = next;
    if ((r = disk_open(io, parent_path, &how, &parent, err)) < 0)
        return r;
    disk_get_info(parent, &up);
    if (!force && ((r = find_sibling(io, parent_path, path, &up, err)) < 0 ||
                   (r = find_sibling(io, path, path, &up, err)) < 0))
        goto out;
    if (info.format == DISK_FMT_VHDX &&
        (r = relink_vhdx(vhdx_of(child), path, parent_path, up.data_guid, next, err)) < 0)
        goto out;
    if (parent->size < child->size && (r = disk_resize(parent, child->size, false, err)) < 0) {
        err_wrap(err, "the parent");
        goto out;
    }
    r = merge_content(child, parent, job, err);
    disk_get_info(parent, &up);
out:;
    int r2 = disk_close(parent, r < 0 ? NULL : err);
    if (r == 0)
        r = r2;
    if (r == 0 && info.format == DISK_FMT_VHDX)
        r = relink_vhdx(vhdx_of(child), path, parent_path, up.data_guid, NULL, err);
    return r;
}

int disk_merge(struct disk_io *io, const char *path, bool force, const struct disk_job *job,
               struct err *err)
{
    struct disk_open how = { .writable = true, .no_parent = true };
    AUTO(free_p) char *parent = NULL;
    struct disk_info info;
    struct disk *child;
    int r = disk_open(io, path, &how, &child, err);

    if (r < 0)
        return r;
    disk_get_info(child, &info);
    if (!info.has_parent)
        r = err_set(err, EINVAL, "'%s' has no parent to be merged into", path);
    else if (info.saved_state)
        r = err_set(err, EBUSY, "a saved machine uses '%s'", path);
    else if ((r = disk_parent_path(io, path, child, &how, &parent, err)) == 0)
        r = merge_into(io, path, child, parent, force, job, err);
    int r2 = disk_close(child, r < 0 ? NULL : err);
    return r < 0 ? r : r2;
}

/* ---- re-base --------------------------------------------------------------------------------- */

/* Where the child leaves it to its parent, do the old and the new one agree? */
static int same_below(struct disk *old, struct disk *parent, const struct disk_job *job,
                      struct err *err)
{
    AUTO(free_p) uint8_t *a = malloc(STEP);
    AUTO(free_p) uint8_t *b = malloc(STEP);
    struct disk_extent x;
    int r = a && b ? 0 : -ENOMEM;

    for (uint64_t off = 0; off < old->size && r == 0; off += x.len) {
        if ((r = disk_job_step(job, off, old->size, err)) < 0)
            return r;
        if ((r = disk_map(old, off, MIN(old->size - off, STEP), &x)) < 0)
            break;
        if (x.kind != DISK_EXT_ABSENT && x.depth == 0)
            continue;
        uint64_t have = off < parent->size ? MIN(x.len, parent->size - off) : 0;
        memset(b + have, 0, x.len - have);
        r = disk_read_sync(old, off, a, x.len);
        if (r == 0 && have)
            r = disk_read_sync(parent, off, b, have);
        if (r == 0 && memcmp(a, b, x.len) != 0)
            return err_set(err, EINVAL, "the new parent differs from the old one near byte %llu",
                           (unsigned long long)off);
    }
    return r < 0 ? err_errno(err, -r, "comparing failed") : 0;
}

static int compare_parents(struct disk_io *io, const char *path, struct disk *parent,
                           const struct disk_job *job, struct err *err)
{
    struct disk *old;
    int r = disk_open(io, path, &(struct disk_open){ .no_lock = true }, &old, err);

    if (r < 0)
        return err_wrap(err, "with its old parent (--unsafe does without)");
    r = same_below(old, parent, job, err);
    disk_close(old, NULL);
    return r;
}

int disk_rebase(struct disk_io *io, const char *path, const char *parent_path, bool trust,
                const struct disk_job *job, struct err *err)
{
    struct disk_open how = { .writable = true, .no_parent = true };
    struct disk_info info, up;
    struct disk *child, *parent;
    int r = disk_open(io, parent_path, &(struct disk_open){ 0 }, &parent, err);

    if (r < 0)
        return r;
    disk_get_info(parent, &up);
    r = trust ? 0 : compare_parents(io, path, parent, job, err);
    if (r == 0 && (r = disk_open(io, path, &how, &child, err)) == 0) {
        disk_get_info(child, &info);
        if (!info.has_parent)
            r = err_set(err, EINVAL, "'%s' is not a differencing disk", path);
        else if (info.format != up.format || info.logical != up.logical ||
                 (info.format == DISK_FMT_VHD ? info.size != up.size : info.size < up.size))
            r = err_set(err, EINVAL, "'%s' cannot be its parent: format, sector size or size do "
                        "not fit", parent_path);
        else if (info.format == DISK_FMT_VHDX)
            r = relink_vhdx(vhdx_of(child), path, parent_path, up.data_guid, NULL, err);
        else
            r = relink_vhd(vhd_of(child), path, parent_path, &up, err);
        int r2 = disk_close(child, r < 0 ? NULL : err);
        r = r < 0 ? r : r2;
    }
    disk_close(parent, NULL);
    return r;
}
