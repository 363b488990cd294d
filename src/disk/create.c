/* SPDX-License-Identifier: GPL-2.0-or-later */
/* create.c - new images: laid out under a temporary name, flushed, then renamed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "disk/file.h"
#include "disk/guid.h"
#include "disk/image.h"
#include "disk/vhd.h"
#include "disk/vhdx.h"

#define LOG_LEN     VHDX_MIB
#define META_LEN    VHDX_MIB
#define BLOCK_SIZE  (2u << 20)

static void from_parent_done(struct disk_from_parent *p)
{
    free(p->relative);
    free(p->absolute);
}

/* ---- VHDX ------------------------------------------------------------------------------------ */

/* BAT entries of a fixed disk, a MiB of them at a time. */
static int write_full_bat(struct disk *file, const struct vhdx_geometry *g, uint64_t bat_off,
                          uint64_t first, uint32_t block_size)
{
    const uint64_t batch = MIB / 8, ratio = UINT64_C(1) << g->ratio_shift;
    AUTO(free_p) uint8_t *buf = malloc(MIB);
    uint64_t place = first;
    int r = buf ? 0 : -ENOMEM;

    for (uint64_t i = 0; i < g->n_bat && r == 0; i += batch) {
        uint64_t n = MIN(batch, g->n_bat - i);
        memset(buf, 0, MIB);
        for (uint64_t k = 0; k < n; k++) {
            if ((i + k) % (ratio + 1) == ratio)
                continue;
            put_le64(buf + k * 8, place | VHDX_FULL);
            place += block_size;
        }
        r = disk_write_sync(file, bat_off + i * 8, buf, ALIGN_UP(n * 8, UINT64_C(4096)));
    }
    return r;
}

static int reserve(struct disk *file, uint64_t size, struct err *err)
{
    int r = posix_fallocate(file_fd(file), 0, (off_t)size);

    return r ? err_errno(err, r, "%llu bytes cannot be reserved on the host",
                         (unsigned long long)size) : 0;
}

static int vhdx_structures(struct disk *file, const struct vhdx_params *p,
                           const struct vhdx_locator *l, const struct vhdx_regions *regions,
                           struct err *err)
{
    static const char creator[] = "Verdin";
    AUTO(free_p) uint8_t *buf = calloc(1, MIB);
    struct vhdx_header h = { .seq = 1, .log_len = LOG_LEN, .log_off = VHDX_MIB };
    int r;

    if (!buf)
        return err_set(err, ENOMEM, "no memory");
    memcpy(buf, VHDX_FILE_MAGIC, 8);
    utf16_encode(creator, buf + VHDX_CREATOR_OFF, VHDX_CREATOR_LEN / 2, false);
    guid_random(h.file_guid);
    guid_random(h.data_guid);
    vhdx_header_encode(&h, buf + VHDX_HEADER1_OFF);
    h.seq++;
    vhdx_header_encode(&h, buf + VHDX_HEADER2_OFF);
    vhdx_regions_encode(regions, buf + VHDX_REGION1_OFF);
    vhdx_regions_encode(regions, buf + VHDX_REGION2_OFF);
    if ((r = disk_write_sync(file, 0, buf, MIB)) < 0)
        return err_errno(err, -r, "the headers cannot be written");
    if ((r = vhdx_metadata_encode(p, l, buf, META_LEN, err)) < 0)
        return r;
    r = disk_write_sync(file, regions->meta.off, buf, META_LEN);
    return r < 0 ? err_errno(err, -r, "the metadata cannot be written") : 0;
}

static int make_vhdx(struct disk *file, const struct disk_create *c, const struct disk_from_parent *up,
                     struct err *err)
{
    struct vhdx_params p = { .block_size = c->block_size ? c->block_size : BLOCK_SIZE,
                             .fixed = c->layout == DISK_LAYOUT_FIXED,
                             .has_parent = c->layout == DISK_LAYOUT_DIFF, .size = c->size,
                             .logical = c->logical ? c->logical : 512,
                             .physical = c->physical ? c->physical : 4096 };
    struct vhdx_locator l = { 0 };
    struct vhdx_geometry g;
    uint8_t guid[16];
    char linkage[GUID_TEXT + 2], text[GUID_TEXT];
    int r;

    if (c->guid)
        memcpy(guid, c->guid, 16);
    else
        guid_random(guid);
    guid_swap(guid, p.page83);
    if (p.has_parent) {
        p.logical = up->info.logical;
        p.physical = up->info.physical;
        guid_swap(up->info.guid, p.page83); /* a child keeps its parent's */
        guid_text(up->info.data_guid, text);
        snprintf(linkage, sizeof linkage, "{%s}", text);
        l = (struct vhdx_locator){ .linkage = linkage, .relative = up->relative,
                                   .absolute = up->absolute };
    }
    if ((r = vhdx_params_check(&p, err)) < 0)
        return r;
    vhdx_geometry(&p, &g);
    uint64_t bat_len = ALIGN_UP(g.n_bat * 8, VHDX_MIB);
    struct vhdx_regions regions = { .meta = { .off = 2 * VHDX_MIB, .len = META_LEN },
                                    .bat = { .off = 3 * VHDX_MIB, .len = (uint32_t)bat_len } };
    uint64_t end = regions.bat.off + bat_len;
    if (p.fixed && (r = write_full_bat(file, &g, regions.bat.off, end, p.block_size)) < 0)
        return err_errno(err, -r, "the BAT cannot be written");
    if (p.fixed)
        end += g.n_payload * p.block_size;
    if ((r = disk_rw_sync(file, DISK_TRUNCATE, end, NULL, 0, 0)) < 0)
        return err_errno(err, -r, "the file cannot have %llu bytes", (unsigned long long)end);
    if (p.fixed && c->preallocate && (r = reserve(file, end, err)) < 0)
        return r;
    return vhdx_structures(file, &p, p.has_parent ? &l : NULL, &regions, err);
}

/* ---- VHD ------------------------------------------------------------------------------------- */

static int put_locator(struct disk *file, struct vhd_header *h, unsigned i, uint32_t code,
                       const char *text, uint64_t *at, struct err *err)
{
    uint8_t buf[8192] = { 0 };
    size_t n = text ? utf16_encode(text, buf, sizeof buf / 2, false) : 0;
    int r;

    if (!n)
        return 0;
    if (n == SIZE_MAX)
        return err_set(err, ENAMETOOLONG, "the path of the parent is too long to be noted");
    uint64_t space = ALIGN_UP((uint64_t)n * 2, (uint64_t)VHD_SECTOR);
    h->loc[i] = (struct vhd_locator){ code, (uint32_t)space, (uint32_t)n * 2, *at };
    if ((r = disk_write_sync(file, *at, buf, space)) < 0)
        return err_errno(err, -r, "the parent locator cannot be written");
    *at += space;
    return 0;
}

static int make_dynamic(struct disk *file, const struct disk_create *c,
                        const struct disk_from_parent *up, struct vhd_footer *f, struct err *err)
{
    struct vhd_header h = { .bat_off = VHD_FOOTER_SIZE + VHD_HEADER_SIZE,
                            .block_size = c->block_size ? c->block_size : BLOCK_SIZE };
    uint8_t header[VHD_HEADER_SIZE], footer[VHD_FOOTER_SIZE];
    const char *name = NULL;
    int r;

    h.n_bat = (uint32_t)((c->size + h.block_size - 1) / h.block_size);
    uint64_t bat_len = ALIGN_UP((uint64_t)h.n_bat * 4, (uint64_t)VHD_SECTOR);
    uint64_t end = h.bat_off + bat_len;
    if (f->type == VHD_DIFF) {
        memcpy(h.parent_uuid, up->info.guid, 16);
        name = strrchr(up->absolute, '\\') ? strrchr(up->absolute, '\\') + 1 : up->absolute;
        if ((r = put_locator(file, &h, 0, VHD_LOC_W2KU, up->absolute, &end, err)) < 0 ||
            (r = put_locator(file, &h, 1, VHD_LOC_W2RU, up->relative, &end, err)) < 0)
            return r;
    }
    AUTO(free_p) uint8_t *bat = malloc(bat_len);
    if (!bat)
        return err_set(err, ENOMEM, "no memory for a table of %u blocks", h.n_bat);
    memset(bat, 0xff, bat_len);
    if ((r = vhd_header_encode(&h, name, header, err)) < 0)
        return r;
    vhd_footer_encode(f, footer);
    end = ALIGN_UP(end, (uint64_t)VHD_SECTOR); /* see vhd_end_footer() */
    if ((r = disk_write_sync(file, 0, footer, sizeof footer)) < 0 ||
        (r = disk_write_sync(file, VHD_FOOTER_SIZE, header, sizeof header)) < 0 ||
        (r = disk_write_sync(file, h.bat_off, bat, bat_len)) < 0 ||
        (r = disk_write_sync(file, end, footer, sizeof footer)) < 0)
        return err_errno(err, -r, "the file cannot be written");
    return 0;
}

static int make_vhd(struct disk *file, const struct disk_create *c, const struct disk_from_parent *up,
                    struct err *err)
{
    struct vhd_footer f;
    uint8_t footer[VHD_FOOTER_SIZE];
    int r;

    if (c->size > VHD_SIZE_MAX)
        return err_set(err, EFBIG, "a VHD holds at most 2040 GiB; use VHDX");
    if (c->logical == 4096)
        return err_set(err, EINVAL, "a VHD has sectors of 512 bytes only; use VHDX");
    vhd_footer_init(&f, c->layout == DISK_LAYOUT_FIXED ? VHD_FIXED
                        : c->layout == DISK_LAYOUT_DIFF ? VHD_DIFF : VHD_DYNAMIC,
                    c->size, (int64_t)(clock_wall_ns() / NS_PER_S));
    if (c->guid)
        memcpy(f.uuid, c->guid, 16);
    else
        guid_random(f.uuid);
    if (c->layout != DISK_LAYOUT_FIXED) {
        if (c->block_size && (!is_pow2(c->block_size) || c->block_size < VHD_BLOCK_MIN ||
                              c->block_size > VHD_BLOCK_MAX ||
                              c->size / c->block_size >= VHD_N_BAT_MAX))
            return err_set(err, EINVAL, "block size %u is not possible for a VHD of this size",
                           c->block_size);
        return make_dynamic(file, c, up, &f, err);
    }
    vhd_footer_encode(&f, footer);
    if (c->preallocate && (r = reserve(file, c->size + VHD_FOOTER_SIZE, err)) < 0)
        return r;
    r = disk_write_sync(file, c->size, footer, sizeof footer);
    return r < 0 ? err_errno(err, -r, "the footer cannot be written") : 0;
}

/* ---- all ------------------------------------------------------------------------------------- */

static int look_at_parent(struct disk_io *io, const char *path, struct disk_create *c,
                          struct disk_from_parent *up, struct err *err)
{
    struct disk *d;
    int r = disk_open(io, c->parent, &(struct disk_open){ 0 }, &d, err);

    if (r < 0)
        return err_wrap(err, "the parent");
    disk_get_info(d, &up->info);
    disk_close(d, NULL);
    memset(up->info.parent_name, 0, sizeof up->info.parent_name); /* gone with the disk */
    if (up->info.format != c->format)
        return err_set(err, EINVAL, "the parent '%s' is %s: a %s child cannot have it", c->parent,
                       disk_format_name(up->info.format), disk_format_name(c->format));
    if (!c->size)
        c->size = up->info.size;
    if (c->format == DISK_FMT_VHD && c->size != up->info.size)
        return err_set(err, EINVAL, "a VHD child has the size of its parent, %llu bytes",
                       (unsigned long long)up->info.size);
    if (c->size < up->info.size)
        return err_set(err, EINVAL, "a child cannot be smaller than its parent, %llu bytes",
                       (unsigned long long)up->info.size);
    if (!c->block_size && up->info.layout != DISK_LAYOUT_FIXED)
        c->block_size = c->format == DISK_FMT_VHD ? up->info.block_size : 0;
    up->relative = disk_relative_name(path, c->parent);
    up->absolute = disk_absolute_name(c->parent);
    return up->relative && up->absolute
               ? 0 : err_set(err, ENOENT, "'%s' or '%s' lies in no folder", path, c->parent);
}

static int check_size(const struct disk_create *c, struct err *err)
{
    uint32_t sector = c->format == DISK_FMT_VHDX && c->logical ? c->logical : 512;

    if (!c->size)
        return err_set(err, EINVAL, "a disk needs a size");
    if (c->size % sector)
        return err_set(err, EINVAL, "the size %llu is no multiple of %u bytes",
                       (unsigned long long)c->size, sector);
    if (c->format == DISK_FMT_RAW && c->layout != DISK_LAYOUT_RAW &&
        c->layout != DISK_LAYOUT_FIXED)
        return err_set(err, EINVAL, "a raw disk is neither dynamic nor differencing");
    return 0;
}

int disk_lay_out(struct disk *file, const struct disk_create *c,
                 const struct disk_from_parent *up, struct err *err)
{
    int r;

    if (c->format == DISK_FMT_VHDX)
        return make_vhdx(file, c, up, err);
    if (c->format == DISK_FMT_VHD)
        return make_vhd(file, c, up, err);
    if ((r = disk_rw_sync(file, DISK_TRUNCATE, c->size, NULL, 0, 0)) < 0)
        return err_errno(err, -r, "the file cannot have %llu bytes",
                         (unsigned long long)c->size);
    return c->preallocate ? reserve(file, c->size, err) : 0;
}

static int lay_out(struct disk_io *io, struct disk_new *n, const struct disk_create *want,
                   struct err *err)
{
    struct disk_create c = *want;
    struct disk_from_parent up = { 0 };
    struct disk *file;
    int r = 0;

    if (c.layout == DISK_LAYOUT_DIFF) {
        if (!c.parent)
            return err_set(err, EINVAL, "a differencing disk needs a parent");
        r = look_at_parent(io, n->path, &c, &up, err);
    }
    if (r == 0)
        r = check_size(&c, err);
    if (r == 0)
        r = file_open(io, n->tmp, FILE_WRITABLE | FILE_CREATE | FILE_CONTAINER, &file, err);
    if (r < 0) {
        from_parent_done(&up);
        return r;
    }
    r = disk_lay_out(file, &c, &up, err);
    from_parent_done(&up);
    int r2 = disk_close(file, r < 0 ? NULL : err);
    return r < 0 ? r : r2;
}

static void unlink_keep_errno(const char *path)
{
    int e = errno;

    unlink(path);
    errno = e;
}

int disk_new_begin(struct disk_io *io, const char *path, const struct disk_create *c,
                   struct disk_new *ret, struct err *err)
{
    struct disk_new n = { .replace = c->replace };
    struct stat st;
    char tmp[PATH_MAX];

    if (lstat(path, &st) == 0) {
        if (!c->replace)
            return err_set(err, EEXIST, "'%s' is there already", path);
        if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
            return err_set(err, ENOTSUP, "'%s' is not a file: it cannot be replaced", path);
    }
    uint8_t id[16];
    guid_random(id);
    const char *slash = strrchr(path, '/');
    snprintf(tmp, sizeof tmp, "%.*s.%s.new-%02x%02x%02x%02x",
             slash ? (int)(slash - path + 1) : 0, path, slash ? slash + 1 : path, id[0], id[1],
             id[2], id[3]);
    n.path = strdup(path);
    n.tmp = strdup(tmp);
    int r = n.path && n.tmp ? lay_out(io, &n, c, err) : err_set(err, ENOMEM, "no memory");
    if (r == 0) {
        struct disk_open how = { .writable = true, .format = c->format };
        /* The child's names fit its final folder, which is that of the temporary name. */
        r = disk_open(io, n.tmp, &how, &n.disk, err);
    }
    if (r < 0) {
        disk_new_abort(&n);
        return r;
    }
    *ret = n;
    return 0;
}

static int sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)MAX(slash - path, 1) : 1,
             slash ? path : ".");
    AUTO(close_fd_p) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

int disk_new_commit(struct disk_new *n, struct err *err)
{
    int r = disk_close(TAKE_PTR(n->disk), err);

    if (r == 0 && renameat2(AT_FDCWD, n->tmp, AT_FDCWD, n->path,
                            n->replace ? 0 : RENAME_NOREPLACE) < 0) {
        if (errno == EINVAL && !n->replace && link(n->tmp, n->path) == 0)
            unlink_keep_errno(n->tmp);
        else
            r = err_errno(err, errno, "'%s' cannot get its name", n->path);
    }
    if (r == 0 && (r = sync_folder(n->path)) < 0)
        err_errno(err, -r, "the folder of '%s' cannot be made durable", n->path);
    if (r < 0) {
        disk_new_abort(n);
        return r;
    }
    free(n->tmp);
    free(n->path);
    *n = (struct disk_new){ 0 };
    return 0;
}

void disk_new_abort(struct disk_new *n)
{
    disk_close(TAKE_PTR(n->disk), NULL);
    if (n->tmp)
        unlink_keep_errno(n->tmp);
    free(n->tmp);
    free(n->path);
    *n = (struct disk_new){ 0 };
}

int disk_create(struct disk_io *io, const char *path, const struct disk_create *c,
                struct err *err)
{
    struct disk_new n;
    int r = disk_new_begin(io, path, c, &n, err);

    return r < 0 ? r : disk_new_commit(&n, err);
}
