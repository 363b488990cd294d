/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_make.c - the verbs that make or change images. */
#include <errno.h>
#include <sys/stat.h>

#include "bin/disk.h"
#include "disk/guid.h"

static int fail(struct disk_cmd *c, int code, const char *text, const char *what)
{
    err_set(&c->err, code, text, what);
    return 1;
}
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static int u32_size(struct disk_cmd *c, const char *text, uint32_t *ret)
{
    uint64_t v;
    int r;

    if (!text)
        return 0;
    if ((r = size_parse(text, &v, &c->err)) < 0)
        return r;
    if (v > UINT32_MAX)
        return err_set(&c->err, EINVAL, "'%s' is too large here", text);
    *ret = (uint32_t)v;
    return 0;
}

/* What --format, --fixed and the file's name ask for. */
static int wanted(struct disk_cmd *c, const char *path, struct disk_create *k)
{
    int r;

    k->format = disk_format_of_path(path);
    if (c->format) {
        k->format = disk_format_named(c->format);
        if (k->format == DISK_FMT_PROBE)
            return err_set(&c->err, EINVAL, "'%s' is no format: raw, vhd and vhdx are",
                           c->format);
    }
    if (k->format == DISK_FMT_PROBE)
        return err_set(&c->err, EINVAL,
                       "'%s' does not tell the format by its name: give --format", path);
    k->layout = k->format == DISK_FMT_RAW ? DISK_LAYOUT_RAW
                : c->fixed ? DISK_LAYOUT_FIXED : DISK_LAYOUT_DYNAMIC;
    if (k->format == DISK_FMT_RAW && c->block_size)
        return err_set(&c->err, EINVAL, "a raw disk has no blocks: --block-size means nothing");
    k->preallocate = c->preallocate;
    k->replace = c->replace;
    if ((r = u32_size(c, c->block_size, &k->block_size)) < 0 ||
        (r = u32_size(c, c->sector, &k->logical)) < 0 ||
        (r = u32_size(c, c->physical, &k->physical)) < 0)
        return r;
    if (k->preallocate && k->layout == DISK_LAYOUT_DYNAMIC)
        return err_set(&c->err, EINVAL, "--preallocate is for fixed and raw disks");
    return 0;
}

int verb_create(struct disk_cmd *c)
{
    struct disk_create k = { 0 };
    uint8_t guid[16];
    char text[32];

    if (wanted(c, c->arg[0], &k) < 0 || (c->size && size_parse(c->size, &k.size, &c->err) < 0))
        return 1;
    if (c->parent) {
        if (c->fixed)
            return fail(c, EINVAL, "a disk with a %s is neither fixed nor dynamic", "parent");
        if (k.format == DISK_FMT_RAW)
            return fail(c, EINVAL, "a raw disk cannot have a %s", "parent");
        k.layout = DISK_LAYOUT_DIFF;
        k.parent = c->parent;
    } else if (!c->size) {
        return fail(c, EINVAL, "how large? Give %s", "--size, as in --size 40G");
    }
    if (c->guid) {
        if (!guid_parse(c->guid, guid))
            return fail(c, EINVAL, "'%s' is no GUID", c->guid);
        k.guid = guid;
    }
    if (disk_create(c->io, c->arg[0], &k, &c->err) < 0)
        return 1;
    if (c->json)
        return verb_info(c);
    if (!c->quiet && k.size)
        printf("%s: %s, %s\n", c->arg[0], disk_format_name(k.format), size_text(k.size, text));
    else if (!c->quiet)
        printf("%s: child of %s\n", c->arg[0], c->parent);
    return 0;
}

/* ---- convert --------------------------------------------------------------------------------- */

static int same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int verify(struct disk_cmd *c, struct disk *a, struct disk *b)
{
    uint64_t at;
    int r = disk_compare(a, b, progress_job(c, "comparing "), &at, &c->err);

    progress_end(c);
    if (r == 0 && at < a->size) /* behind it a device may hold anything */
        return err_set(&c->err, EIO, "the copy differs at byte %llu: it is not kept",
                       (unsigned long long)at);
    return r < 0 ? r : 0;
}

static int to_device(struct disk_cmd *c, struct disk *from, const char *path)
{
    struct disk *to;
    int r;

    if (!c->replace)
        return err_set(&c->err, EEXIST, "'%s' is a block device: what it holds would be lost "
                       "(--replace to mean it)", path);
    r = disk_open(c->io, path,
                      &(struct disk_open){ .writable = true, .format = DISK_FMT_RAW,
                                           .direct = c->direct }, &to, &c->err);

    if (r < 0)
        return r;
    if (to->size < from->size)
        r = err_set(&c->err, ENOSPC, "'%s' is too small: it has %llu bytes, the source %llu", path,
                    (unsigned long long)to->size, (unsigned long long)from->size);
    else
        r = disk_copy(from, to, false, progress_job(c, "converting"), &c->err);
    progress_end(c);
    if (r == 0 && c->compare)
        r = verify(c, from, to);
    int r2 = disk_close(to, r < 0 ? NULL : &c->err);
    return r < 0 ? r : r2;
}

static int convert(struct disk_cmd *c, struct disk *from)
{
    struct disk_create k = { 0 };
    struct disk_new n;
    struct disk_info info;
    struct stat st;
    int r;

    if (stat(c->arg[1], &st) == 0 && S_ISBLK(st.st_mode))
        return to_device(c, from, c->arg[1]);
    if ((r = wanted(c, c->arg[1], &k)) < 0)
        return r;
    disk_get_info(from, &info);
    k.size = from->size;
    if (c->size && (r = size_parse(c->size, &k.size, &c->err)) < 0)
        return r;
    if (k.size < from->size)
        return err_set(&c->err, EINVAL, "the target would be smaller than the source, %llu bytes",
                       (unsigned long long)from->size);
    if (!k.logical && k.format == DISK_FMT_VHDX)
        k.logical = info.logical;
    if (k.format == DISK_FMT_VHD && info.logical == 4096)
        return err_set(&c->err, EINVAL, "a VHD has sectors of 512 bytes only: the guest would "
                       "find nothing on a disk of 4096");
    if ((r = disk_new_begin(c->io, c->arg[1], &k, &n, &c->err)) < 0)
        return r;
    r = disk_copy(from, n.disk, true, progress_job(c, "converting"), &c->err);
    progress_end(c);
    if (r == 0 && c->compare)
        r = verify(c, from, n.disk);
    if (r < 0) {
        disk_new_abort(&n);
        return r;
    }
    return disk_new_commit(&n, &c->err);
}

int verb_convert(struct disk_cmd *c)
{
    struct disk *from;

    if (same_file(c->arg[0], c->arg[1]) && !c->replace)
        return fail(c, EINVAL, "'%s' is both source and target (--replace to mean it)",
                    c->arg[0]);
    if (open_image(c, c->arg[0], (struct disk_open){ 0 }, &from) < 0)
        return 1;
    int r = convert(c, from);
    disk_close(from, NULL);
    if (r == 0 && c->json) {
        c->from_format = NULL;
        c->arg++;
        return verb_info(c);
    }
    return r < 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

static int close_changed(struct disk_cmd *c, struct disk *d, int r)
{
    int r2 = disk_close(d, r < 0 ? NULL : &c->err);

    if (r < 0 || r2 < 0)
        return 1;
    return c->json ? verb_info(c) : 0;
}

int verb_resize(struct disk_cmd *c)
{
    const char *text = c->arg[1];
    struct disk *d;
    uint64_t n;

    bool plus = text[0] == '+', minus = text[0] == '-';
    if (size_parse(text + (plus || minus), &n, &c->err) < 0 ||
        open_image(c, c->arg[0], (struct disk_open){ .writable = true }, &d) < 0)
        return 1;
    int r = 0;
    if (minus && n >= d->size)
        r = err_set(&c->err, EINVAL, "the disk has only %llu bytes", (unsigned long long)d->size);
    else if (plus && n > UINT64_MAX - d->size)
        r = err_set(&c->err, EINVAL, "'%s' is too much", text);
    else
        n = plus ? d->size + n : minus ? d->size - n : n;
    if (r == 0)
        r = disk_resize(d, n, c->force, &c->err);
    if (r < 0)
        err_wrap(&c->err, "'%s'", c->arg[0]);
    return close_changed(c, d, r);
}

int verb_compact(struct disk_cmd *c)
{
    struct disk_compacted k;
    struct disk *d;
    char a[32], b[32];

    if (open_image(c, c->arg[0], (struct disk_open){ .writable = true }, &d) < 0)
        return 1;
    int r = disk_compact(d, progress_job(c, "compacting"), &k, &c->err);
    progress_end(c);
    if (r < 0)
        err_wrap(&c->err, "'%s'", c->arg[0]);
    r = close_changed(c, d, r);
    if (r == 0 && !c->json && !c->quiet)
        printf("%s: %s before, %s after (%llu blocks freed, %llu moved)\n", c->arg[0],
               size_text(k.size_before, a), size_text(k.size_after, b),
               (unsigned long long)k.freed_blocks, (unsigned long long)k.moved_blocks);
    return r;
}

int verb_merge(struct disk_cmd *c)
{
    int r = disk_merge(c->io, c->arg[0], c->force, progress_job(c, "merging   "), &c->err);

    progress_end(c);
    if (r == 0 && !c->quiet && !c->json)
        printf("%s is merged into its parent; it can be removed once its own children, if any, "
               "are re-based\n", c->arg[0]);
    return r < 0 ? 1 : c->json ? verb_info(c) : 0;
}

int verb_rebase(struct disk_cmd *c)
{
    int r = disk_rebase(c->io, c->arg[0], c->arg[1], c->unsafe, progress_job(c, "comparing "),
                        &c->err);

    progress_end(c);
    return r < 0 ? 1 : c->json ? verb_info(c) : 0;
}

int verb_identity(struct disk_cmd *c)
{
    uint8_t guid[16];
    char text[GUID_TEXT];
    struct disk *d;

    if (!c->guid)
        guid_random(guid);
    else if (!guid_parse(c->guid, guid))
        return fail(c, EINVAL, "'%s' is no GUID", c->guid);
    if (open_image(c, c->arg[0], (struct disk_open){ .writable = true }, &d) < 0)
        return 1;
    int r = disk_set_guid(d, guid, &c->err);
    if (r < 0)
        err_wrap(&c->err, "'%s'", c->arg[0]);
    guid_text(guid, text);
    if (r == 0 && !c->json)
        printf("%s\n", text);
    return close_changed(c, d, r);
}
