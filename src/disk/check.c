/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check.c - looking at every structure of an image, and mending what can be mended.
 *
 * SAFE repairs only rewrite what is known twice (headers, region tables, footers, logs, unclean
 * ends); ALL also gives up table entries that point to nowhere or to another block's space.
 * Called by the tool; uses vhd_open.c and vhdx_open.c in their lenient mode. */
#include <errno.h>
#include <stdarg.h>

#include "base/bytes.h"
#include "disk/file.h"
#include "disk/guid.h"
#include "disk/job.h"
#include "disk/vhd.h"
#include "disk/vhdx.h"

#define FINDINGS_MAX 1000 /* told one by one; the rest is only counted */

struct look {
    struct disk_check *c;
    uint64_t told;
    struct vhdx *x;
    struct vhd *v;
    uint64_t *bad; /* table entries to be given up */
    size_t n_bad, bad_room;
    enum disk_severity as;
};

static void say(struct look *l, enum disk_severity s, bool repaired, const char *fmt, ...)
    PRINTF(4, 5);
static void say(struct look *l, enum disk_severity s, bool repaired, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    if (repaired)
        l->c->n_repaired++;
    else
        l->c->n[s]++;
    if (l->told++ >= FINDINGS_MAX || !l->c->found)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    l->c->found(l->c->ctx, s, text, repaired);
}

static void bad_entry(void *ctx, uint64_t index, const char *text)
{
    struct look *l = ctx;
    bool mend = l->c->repair == DISK_REPAIR_ALL && index != UINT64_MAX;

    say(l, l->as, mend, "%s", text);
    l->c->n_more += !mend && index != UINT64_MAX;
    if (!mend)
        return;
    if (l->n_bad == l->bad_room) {
        size_t room = MAX(l->bad_room * 2, (size_t)64);
        uint64_t *b = realloc(l->bad, room * sizeof *b);
        if (!b)
            return;
        l->bad = b;
        l->bad_room = room;
    }
    l->bad[l->n_bad++] = index;
}

/* ---- VHDX ------------------------------------------------------------------------------------ */

static int mend_vhdx(struct look *l, bool headers, struct err *err)
{
    struct vhdx *x = l->x;
    int r;

    for (size_t i = 0; i < l->n_bad; i++) {
        /* In a child a lost block must not uncover the parent's old data. */
        bool bitmap = (l->bad[i] + 1) % ((UINT64_C(1) << x->geo.ratio_shift) + 1) == 0;
        uint64_t entry = bitmap ? 0 : x->params.has_parent ? VHDX_ZERO : 0;
        if ((r = vhdx_bat_set(x, l->bad[i], entry)) < 0)
            return err_errno(err, -r, "an entry could not be mended");
    }
    if (!l->n_bad && !headers)
        return 0;
    if ((r = vhdx_space_scan(x, NULL, err)) < 0 || (r = vhdx_begin_sync(x, err)) < 0)
        return r;
    r = disk_flush_sync(&x->disk);
    return r < 0 ? err_errno(err, -r, "the repair could not be written") : 0;
}

static int mend_region_table(struct vhdx *x, struct err *err)
{
    AUTO(free_p) uint8_t *t = malloc(VHDX_REGION_SIZE);
    struct vhdx_log_page pages[VHDX_REGION_SIZE / VHDX_PAGE];
    int good = x->region_bad[0] ? 1 : 0;
    int r = t ? vhdx_meta_read(x, good ? VHDX_REGION2_OFF : VHDX_REGION1_OFF, t, VHDX_REGION_SIZE)
              : -ENOMEM;

    if (r < 0)
        return err_errno(err, -r, "the good region table cannot be read");
    for (unsigned i = 0; i < ARRAY_LEN(pages); i++)
        pages[i] = (struct vhdx_log_page){
            (good ? VHDX_REGION1_OFF : VHDX_REGION2_OFF) + i * VHDX_PAGE, t + i * VHDX_PAGE };
    return vhdx_log_pages_sync(x, pages, ARRAY_LEN(pages), err);
}

static int check_vhdx(struct look *l, struct err *err)
{
    struct vhdx *x = l->x;
    bool safe = l->c->repair != DISK_REPAIR_NONE;
    struct vhdx_finding f = { bad_entry, l };
    int r;

    if (x->log_was_dirty)
        say(l, DISK_NOTE, safe, "the log holds changes: the disk was not closed cleanly");
    if (x->header_bad)
        say(l, DISK_WARNING, safe, "one of the two headers is damaged");
    if (x->region_bad[0] || x->region_bad[1])
        say(l, DISK_WARNING, safe, "region table %d of 2 is damaged", x->region_bad[0] ? 1 : 2);
    l->as = DISK_ERROR;
    uint64_t errors = l->c->n[DISK_ERROR];
    if ((r = vhdx_bat_check(x, &f, err)) < 0)
        return r;
    if (l->n_bad && (r = mend_vhdx(l, false, err)) < 0)
        return r;
    if (!l->n_bad && (r = vhdx_space_scan(x, &f, err)) < 0)
        return r;
    uint64_t lost = 0;
    for (size_t i = 0; i < x->holes.n; i++)
        lost += x->holes.e[i].len;
    if (x->file->size > x->end)
        lost += x->file->size - x->end;
    if (x->file->size < x->end && !x->params.fixed && !l->n_bad)
        say(l, DISK_WARNING, false, "the file ends %llu bytes before its last block does",
            (unsigned long long)(x->end - x->file->size));
    if (lost && !x->params.fixed && l->c->n[DISK_ERROR] == errors) /* else: by whom is not known */
        say(l, DISK_LEAK, false, "%llu bytes of the file are used by nobody (compact frees them)",
            (unsigned long long)lost);
    if (safe && (x->region_bad[0] || x->region_bad[1]) && (r = mend_region_table(x, err)) < 0)
        return r;
    return safe && x->header_bad ? mend_vhdx(l, true, err) : 0;
}

/* ---- VHD ------------------------------------------------------------------------------------- */

static int mend_vhd(struct look *l, struct err *err)
{
    struct vhd *v = l->v;
    uint8_t p[VHD_HEADER_SIZE];
    int r = 0;

    if (v->header.checksum_bad) {
        if ((r = vhd_header_encode(&v->header, NULL, p, err)) < 0)
            return r;
        r = disk_write_sync(v->file, v->footer.data_off, p, sizeof p);
    }
    for (size_t i = 0; i < l->n_bad && r == 0; i++) {
        uint8_t e[4];
        put_be32(e, VHD_BAT_NONE);
        v->bat[l->bad[i]] = VHD_BAT_NONE;
        r = disk_write_sync(v->file, v->header.bat_off + l->bad[i] * 4, e, 4);
    }
    if (r < 0)
        return err_errno(err, -r, "the repair could not be written");
    /* Opening for writing and closing again writes both footers anew. */
    if ((r = vhd_bat_check(v, NULL, err)) < 0 || (r = vhd_begin_sync(v, err)) < 0)
        return r;
    if (v->footers_differ && (r = disk_write_sync(v->file, 0, v->footer_sector,
                                                  VHD_FOOTER_SIZE)) < 0)
        return err_errno(err, -r, "the footer copy could not be written");
    return 0;
}

static int check_vhd(struct look *l, struct err *err)
{
    struct vhd *v = l->v;
    bool safe = l->c->repair != DISK_REPAIR_NONE, all = l->c->repair == DISK_REPAIR_ALL;
    struct vhd_finding f = { bad_entry, l };
    int r;

    if (!(v->footer.features & 2))
        say(l, DISK_WARNING, false, "the footer's feature bit 1 is not set");
    if (v->footer.saved_state)
        say(l, DISK_NOTE, false, "a saved machine uses this disk");
    if (v->footer.type == VHD_FIXED)
        return 0;
    if (v->end_bad)
        say(l, DISK_WARNING, safe, "the footer at the end is missing: not closed cleanly");
    if (v->front_bad)
        say(l, DISK_WARNING, safe, "the footer copy at the front is damaged");
    if (v->footers_differ)
        say(l, DISK_WARNING, safe, "the footer at the end and its copy at the front differ");
    if (v->header.checksum_bad) {
        say(l, DISK_ERROR, all, "the checksum of the dynamic header is wrong");
        l->c->n_more += !all;
    }
    l->as = DISK_ERROR;
    if ((r = vhd_bat_check(v, &f, err)) < 0)
        return r;
    uint64_t should = vhd_next_place(v->end, v->bitmap_bytes) + VHD_FOOTER_SIZE;
    if (v->file->size > should + MIB && !safe)
        say(l, DISK_LEAK, false, "%llu bytes at the end of the file are used by nobody",
            (unsigned long long)(v->file->size - should));
    if (v->header.checksum_bad && !all)
        return 0;
    if (l->n_bad || (safe && (v->end_bad || v->front_bad || v->footers_differ ||
                              v->header.checksum_bad || v->file->size > should + MIB)))
        return l->c->n[DISK_ERROR] && !l->n_bad ? 0 : mend_vhd(l, err);
    return 0;
}

/* ---- all ------------------------------------------------------------------------------------- */

static void check_parent(struct disk_io *io, const char *path, enum disk_format format,
                         struct look *l)
{
    struct disk_open how = { .format = format, .no_lock = true };
    struct disk *d;
    struct err e = { 0 };

    if (disk_open(io, path, &how, &d, &e) < 0)
        say(l, DISK_ERROR, false, "%s", e.text);
    else
        disk_close(d, NULL);
}

int disk_check(struct disk_io *io, const char *path, enum disk_format format,
               struct disk_check *c, struct err *err)
{
    struct disk_open how = { .writable = c->repair != DISK_REPAIR_NONE, .repair = true,
                             .no_parent = true, .format = format };
    struct look l = { .c = c };
    struct disk_info info;
    struct disk *d;
    struct err why = { 0 };

    memset(c->n, 0, sizeof c->n);
    c->n_repaired = c->n_more = 0;
    int r = disk_open(io, path, &how, &d, &why);
    if (r == -EILSEQ || r == -ENOTSUP || (r == -ENOENT && why.text[0] && strstr(why.text, "': "))) {
        say(&l, DISK_FATAL, false, "%s", why.text);
        return 0;
    }
    if (r < 0) {
        if (err)
            *err = why;
        return r;
    }
    disk_get_info(d, &info);
    l.x = info.format == DISK_FMT_VHDX ? vhdx_of(d) : NULL;
    l.v = info.format == DISK_FMT_VHD ? vhd_of(d) : NULL;
    r = l.x ? check_vhdx(&l, err) : l.v ? check_vhd(&l, err) : 0;
    bool has_parent = info.has_parent;
    int r2 = disk_close(d, r < 0 ? NULL : err);
    free(l.bad);
    if (r == 0 && r2 == 0 && has_parent)
        check_parent(io, path, info.format, &l);
    return r < 0 ? r : r2;
}
