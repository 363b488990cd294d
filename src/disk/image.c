/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.c - opening a disk by its path: which format, which parents.
 *
 * A child names its parent in Windows' way; parent_path.c finds the file.  The parent's identity
 * must be the one that the child noted, so a wrong file of the right name is never used. */
#include "disk/image.h"

#include <errno.h>
#include <limits.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "disk/file.h"
#include "disk/guid.h"
#include "disk/parent_path.h"
#include "disk/vhd.h"
#include "disk/vhdx.h"

struct chain {
    unsigned n;
    struct {
        dev_t dev;
        ino_t ino;
    } seen[DISK_CHAIN_MAX];
};

static int open_one(struct disk_io *io, const char *path, const struct disk_open *how,
                    struct chain *chain, struct disk **ret, struct err *err);

/* ---- names of formats ------------------------------------------------------------------------ */

static const char *const format_names[] = { [DISK_FMT_PROBE] = "?", [DISK_FMT_RAW] = "raw",
                                            [DISK_FMT_VHD] = "vhd", [DISK_FMT_VHDX] = "vhdx" };

enum disk_format disk_format_named(const char *word)
{
    for (int f = DISK_FMT_RAW; f <= DISK_FMT_VHDX; f++)
        if (strcasecmp(word, format_names[f]) == 0)
            return (enum disk_format)f;
    if (strcasecmp(word, "vpc") == 0) /* qemu's name for it */
        return DISK_FMT_VHD;
    return DISK_FMT_PROBE;
}

const char *disk_format_name(enum disk_format f)
{
    return format_names[f];
}

enum disk_format disk_format_of_path(const char *path)
{
    const char *dot = strrchr(path, '.');

    if (!dot || strchr(dot, '/'))
        return DISK_FMT_PROBE;
    if (strcasecmp(dot, ".vhd") == 0 || strcasecmp(dot, ".avhd") == 0)
        return DISK_FMT_VHD;
    if (strcasecmp(dot, ".vhdx") == 0 || strcasecmp(dot, ".avhdx") == 0)
        return DISK_FMT_VHDX;
    if (strcasecmp(dot, ".raw") == 0 || strcasecmp(dot, ".img") == 0)
        return DISK_FMT_RAW;
    return DISK_FMT_PROBE;
}

int disk_probe(struct disk *file, enum disk_format *ret)
{
    uint8_t front[8] = { 0 }, end[VHD_FOOTER_SIZE] = { 0 };
    int r;

    if ((r = disk_read_sync(file, 0, front, sizeof front)) < 0)
        return r;
    if (file->size >= VHD_FOOTER_SIZE &&
        (r = disk_read_sync(file, file->size - VHD_FOOTER_SIZE, end, sizeof end)) < 0)
        return r;
    if (memcmp(front, VHDX_FILE_MAGIC, 8) == 0)
        *ret = DISK_FMT_VHDX;
    else if (memcmp(end, VHD_COOKIE, 8) == 0 || memcmp(end + 1, VHD_COOKIE, 8) == 0 ||
             memcmp(front, VHD_COOKIE, 8) == 0)
        *ret = DISK_FMT_VHD;
    else
        *ret = DISK_FMT_RAW;
    return 0;
}

/* ---- parents --------------------------------------------------------------------------------- */

/* Is 'parent' the one that 'child' noted? */
static int parent_fits(struct disk *child, struct disk *parent, const char *path, struct err *err)
{
    struct disk_info c, p;
    char want[GUID_TEXT], is[GUID_TEXT];
    uint8_t second[16];

    disk_get_info(child, &c);
    disk_get_info(parent, &p);
    if (c.format != p.format)
        return err_set(err, EINVAL, "the parent '%s' is %s, the child is %s", path,
                       disk_format_name(p.format), disk_format_name(c.format));
    const uint8_t *id = c.format == DISK_FMT_VHDX ? p.data_guid : p.guid;
    bool fits = memcmp(id, c.parent_guid, 16) == 0;
    if (!fits && c.format == DISK_FMT_VHDX && vhdx_of(child)->locator.linkage2)
        fits = guid_parse(vhdx_of(child)->locator.linkage2, second) &&
               memcmp(id, second, 16) == 0;
    guid_text(c.parent_guid, want);
    guid_text(id, is);
    if (!fits)
        return err_set(err, ESTALE,
                       "'%s' is not the parent that was noted, or was changed since: its "
                       "identity is %s, %s was noted", path, is, want);
    if (c.logical != p.logical)
        return err_set(err, EINVAL, "the parent '%s' has sectors of %u bytes, the child of %u",
                       path, p.logical, c.logical);
    if (c.format == DISK_FMT_VHD && c.size != p.size)
        return err_set(err, EINVAL, "the parent '%s' has %llu bytes, the child %llu", path,
                       (unsigned long long)p.size, (unsigned long long)c.size);
    return 0;
}

/* Is the image 'file' the parent? */
static int try_parent(struct disk_io *io, const char *file, struct disk *child,
                      const struct disk_open *how, struct err *err)
{
    struct chain alone = { 0 };
    struct disk *d;
    int r = open_one(io, file, how, &alone, &d, err);

    if (r == 0) {
        r = parent_fits(child, d, file, err);
        disk_close(d, NULL);
    }
    return r;
}

int disk_parent_path(struct disk_io *io, const char *path, struct disk *d,
                     const struct disk_open *how, char **ret, struct err *err)
{
    struct disk_open look = { .no_parent = true, .no_lock = true };
    struct disk_info info;
    struct err first = { 0 };

    disk_get_info(d, &info);
    look.format = info.format;
    for (unsigned i = 0; i <= PARENT_NAMES; i++) {
        /* Last resort: its bare name beside the child, when a folder was moved. */
        const char *name = i < PARENT_NAMES ? info.parent_name[i] : NULL;
        for (unsigned k = 0; i == PARENT_NAMES && k < PARENT_NAMES && !name; k++)
            name = info.parent_name[k];
        if (!name)
            continue;
        char *file = parent_find(path, name, i == PARENT_NAMES, how->parent_root);
        struct err e = { 0 };
        if (file && try_parent(io, file, d, &look, &e) == 0) {
            *ret = file;
            return 0;
        }
        if (file && !first.code)
            first = e;
        free(file);
    }
    if (first.code)
        return err_set(err, first.code, "its parent: %s", first.text);
    return err_set(err, ENOENT, "its parent '%s' is not found%s%s",
                   info.parent_name[0] ? info.parent_name[0]
                   : info.parent_name[1] ? info.parent_name[1]
                   : info.parent_name[2] ? info.parent_name[2] : "(no name)",
                   how->parent_root ? " under " : "", how->parent_root ? how->parent_root : "");
}

static int open_parent(struct disk_io *io, const char *path, struct disk *child,
                       const struct disk_open *how, struct chain *chain, struct disk **ret,
                       struct err *err)
{
    AUTO(free_p) char *file = NULL;
    struct disk_open down = *how;
    struct disk_info info;
    int r = disk_parent_path(io, path, child, how, &file, err);

    if (r < 0)
        return r;
    disk_get_info(child, &info);
    down.writable = false;
    down.repair = false;
    down.format = info.format;
    down.data_guid = NULL;
    if ((r = open_one(io, file, &down, chain, ret, err)) < 0)
        return err_wrap(err, "its parent");
    if ((r = parent_fits(child, *ret, file, err)) < 0) { /* changed in between */
        disk_close(*ret, NULL);
        return r;
    }
    return 0;
}

static int chain_add(struct chain *chain, struct disk *file, struct err *err)
{
    struct stat st;

    if (fstat(file_fd(file), &st) < 0)
        return 0;
    for (unsigned i = 0; i < chain->n; i++)
        if (chain->seen[i].dev == st.st_dev && chain->seen[i].ino == st.st_ino)
            return err_set(err, ELOOP, "the chain of parents comes back to it");
    if (chain->n == DISK_CHAIN_MAX)
        return err_set(err, ELOOP, "more than %d disks in a chain", DISK_CHAIN_MAX);
    chain->seen[chain->n].dev = st.st_dev;
    chain->seen[chain->n++].ino = st.st_ino;
    return 0;
}

static bool wants_parent(struct disk *d, const struct disk_open *how)
{
    struct disk_info info;

    disk_get_info(d, &info);
    return info.has_parent && !how->no_parent;
}

static int open_format(struct disk_io *io, const char *path, enum disk_format format,
                       struct disk *file, const struct disk_open *how, struct chain *chain,
                       struct disk **ret, struct err *err)
{
    struct disk *d, *parent;
    struct vhd *vhd = NULL;
    struct vhdx *vhdx = NULL;
    int r = format == DISK_FMT_VHDX ? vhdx_open(file, how, &vhdx, err)
                                    : vhd_open(file, how, &vhd, err);

    if (r < 0)
        return err_wrap(err, "'%s'", path);
    d = vhdx ? &vhdx->disk : &vhd->disk;
    if (wants_parent(d, how)) {
        if ((r = open_parent(io, path, d, how, chain, &parent, err)) < 0) {
            disk_close(d, NULL);
            return err_wrap(err, "'%s'", path);
        }
        if (vhdx)
            vhdx_set_parent(vhdx, parent);
        else
            vhd_set_parent(vhd, parent);
    }
    *ret = d;
    return 0;
}

static int open_one(struct disk_io *io, const char *path, const struct disk_open *how,
                    struct chain *chain, struct disk **ret, struct err *err)
{
    unsigned flags = (how->writable ? FILE_WRITABLE : 0) | (how->direct ? FILE_DIRECT : 0) |
                     (how->no_lock ? FILE_NO_LOCK : 0);
    enum disk_format format = how->format, is = how->format, promised;
    struct disk *file;
    int r;

    if (format == DISK_FMT_RAW)
        return file_open(io, path, flags, ret, err);
    if ((r = file_open(io, path, flags | FILE_CONTAINER, &file, err)) < 0)
        return r;
    if ((r = disk_probe(file, &is)) < 0) {
        err_errno(err, -r, "'%s' cannot be read", path);
    } else if (format != DISK_FMT_PROBE && is != format) {
        r = err_set(err, EILSEQ, "'%s' is no %s file", path, disk_format_name(format));
    } else if (is == DISK_FMT_RAW) {
        promised = disk_format_of_path(path);
        disk_close(file, NULL);
        if (promised != DISK_FMT_PROBE && promised != DISK_FMT_RAW)
            return err_set(err, EILSEQ, "'%s' is called .%s but is none", path,
                           disk_format_name(promised));
        return file_open(io, path, flags, ret, err);
    } else {
        r = chain_add(chain, file, err);
        if (r < 0)
            err_wrap(err, "'%s'", path);
    }
    if (r < 0) {
        disk_close(file, NULL);
        return r;
    }
    return open_format(io, path, is, file, how, chain, ret, err);
}

int disk_open(struct disk_io *io, const char *path, const struct disk_open *how,
              struct disk **ret, struct err *err)
{
    AUTO(free_p) struct chain *chain = calloc(1, sizeof *chain);

    if (!chain)
        return err_set(err, ENOMEM, "no memory to open '%s'", path);
    return open_one(io, path, how, chain, ret, err);
}

/* ---- facts ----------------------------------------------------------------------------------- */

struct disk *disk_parent(struct disk *d)
{
    return d->ops == &vhdx_ops ? vhdx_of(d)->parent : d->ops == &vhd_ops ? vhd_of(d)->parent : NULL;
}

static void info_vhdx(struct vhdx *v, struct disk_info *i)
{
    uint8_t creator[64];

    i->format = DISK_FMT_VHDX;
    i->layout = v->params.has_parent ? DISK_LAYOUT_DIFF
                : v->params.fixed ? DISK_LAYOUT_FIXED : DISK_LAYOUT_DYNAMIC;
    i->block_size = v->params.block_size;
    i->physical = v->params.physical;
    guid_swap(v->hdr.data_guid, i->data_guid);
    i->has_parent = v->params.has_parent;
    if (i->has_parent && v->locator.linkage)
        guid_parse(v->locator.linkage, i->parent_guid);
    i->parent_name[0] = v->locator.relative;
    i->parent_name[1] = v->locator.volume;
    i->parent_name[2] = v->locator.absolute;
    i->dirty = v->log_was_dirty;
    i->n_blocks = v->geo.n_payload;
    for (uint64_t b = 0; b < v->geo.n_payload; b++)
        i->n_allocated += (v->bat[vhdx_bat_index(v, b)] & 6) == 6;
    if (disk_read_sync(v->file, VHDX_CREATOR_OFF, creator, sizeof creator) == 0) {
        AUTO(free_p) char *text = utf16_decode(creator, sizeof creator / 2, false);
        if (text)
            snprintf(i->creator, sizeof i->creator, "%s", text);
    }
}

static void info_vhd(struct vhd *v, struct disk_info *i)
{
    i->format = DISK_FMT_VHD;
    i->layout = v->footer.type == VHD_FIXED ? DISK_LAYOUT_FIXED
                : v->footer.type == VHD_DIFF ? DISK_LAYOUT_DIFF : DISK_LAYOUT_DYNAMIC;
    i->block_size = v->block_size;
    i->has_parent = v->footer.type == VHD_DIFF;
    memcpy(i->parent_guid, v->header.parent_uuid, 16);
    i->parent_name[0] = v->loc_relative;
    i->parent_name[1] = v->loc_absolute;
    i->parent_name[2] = v->header.parent_name;
    i->dirty = v->end_bad;
    i->saved_state = v->footer.saved_state;
    i->cyls = v->footer.cyls;
    i->heads = v->footer.heads;
    i->sectors = v->footer.sectors;
    snprintf(i->creator, sizeof i->creator, "%s", v->footer.app);
    if (v->footer.type == VHD_FIXED)
        return;
    i->n_blocks = (v->footer.size + v->block_size - 1) / v->block_size;
    for (uint64_t b = 0; b < i->n_blocks; b++)
        i->n_allocated += v->bat[b] != VHD_BAT_NONE;
}

void disk_get_info(struct disk *d, struct disk_info *ret)
{
    struct disk *file = d->ops == &vhdx_ops ? vhdx_of(d)->file
                        : d->ops == &vhd_ops ? vhd_of(d)->file : d;
    struct stat st;

    *ret = (struct disk_info){ .format = DISK_FMT_RAW, .layout = DISK_LAYOUT_RAW, .size = d->size,
                               .file_size = file->size, .logical = d->block,
                               .physical = d->phys_block };
    memcpy(ret->guid, d->guid, 16);
    if (file_fd(file) >= 0 && fstat(file_fd(file), &st) == 0)
        ret->file_used = (uint64_t)st.st_blocks * 512;
    if (d->ops == &vhdx_ops)
        info_vhdx(vhdx_of(d), ret);
    else if (d->ops == &vhd_ops)
        info_vhd(vhd_of(d), ret);
}
