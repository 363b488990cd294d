/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_show.c - the verbs that only look (and repair, which is check with a hammer). */
#include <errno.h>

#include "bin/disk.h"
#include "disk/guid.h"
#include "disk/vhd.h"
#include "disk/vhdx.h"

static const char *const layouts[] = { "raw", "fixed", "dynamic", "differencing" };

static void add_u64(struct json_object *o, const char *key, uint64_t v)
{
    json_object_object_add(o, key, json_object_new_uint64(v));
}

static void add_text(struct json_object *o, const char *key, const char *v)
{
    json_object_object_add(o, key, v ? json_object_new_string(v) : NULL);
}

static void add_guid(struct json_object *o, const char *key, const uint8_t guid[16])
{
    char text[GUID_TEXT];

    guid_text(guid, text);
    add_text(o, key, guid_is_zero(guid) ? NULL : text);
}

/* ---- info ------------------------------------------------------------------------------------ */

static struct json_object *info_json(struct disk *d)
{
    struct json_object *o = json_object_new_object(), *names;
    struct disk_info i;

    disk_get_info(d, &i);
    add_text(o, "format", disk_format_name(i.format));
    add_text(o, "layout", layouts[i.layout]);
    add_u64(o, "size", i.size);
    add_u64(o, "file_size", i.file_size);
    add_u64(o, "file_used", i.file_used);
    add_u64(o, "logical_sector", i.logical);
    add_u64(o, "physical_sector", i.physical);
    if (i.block_size) {
        add_u64(o, "block_size", i.block_size);
        add_u64(o, "blocks", i.n_blocks);
        add_u64(o, "blocks_allocated", i.n_allocated);
    }
    if (i.format == DISK_FMT_RAW)
        return o;
    add_guid(o, "id", i.guid);
    if (i.format == DISK_FMT_VHDX)
        add_guid(o, "data_id", i.data_guid);
    add_text(o, "creator", i.creator);
    json_object_object_add(o, "closed_cleanly", json_object_new_boolean(!i.dirty));
    if (i.has_parent) {
        add_guid(o, "parent_id", i.parent_guid);
        names = json_object_new_array();
        for (unsigned k = 0; k < PARENT_NAMES; k++)
            if (i.parent_name[k])
                json_object_array_add(names, json_object_new_string(i.parent_name[k]));
        json_object_object_add(o, "parent_names", names);
    }
    return o;
}

static void info_text(struct disk *d, const char *path)
{
    struct disk_info i;
    char a[32], id[GUID_TEXT];

    disk_get_info(d, &i);
    printf("file:       %s\n", path);
    printf("format:     %s%s%s\n", disk_format_name(i.format),
           i.layout == DISK_LAYOUT_RAW ? "" : ", ",
           i.layout == DISK_LAYOUT_RAW ? "" : layouts[i.layout]);
    printf("disk size:  %s (%llu bytes)\n", size_text(i.size, a), (unsigned long long)i.size);
    printf("file size:  %s, ", size_text(i.file_size, a));
    printf("%s used on the host\n", size_text(i.file_used, a));
    printf("sectors:    %u logical, %u physical\n", i.logical, i.physical);
    if (i.block_size)
        printf("blocks:     %s, %llu of %llu allocated\n", size_text(i.block_size, a),
               (unsigned long long)i.n_allocated, (unsigned long long)i.n_blocks);
    if (i.format == DISK_FMT_RAW)
        return;
    guid_text(i.guid, id);
    printf("identity:   %s\n", id);
    if (i.cyls)
        printf("geometry:   %u/%u/%u\n", i.cyls, i.heads, i.sectors);
    if (i.has_parent) {
        guid_text(i.parent_guid, id);
        printf("parent:     %s\n", id);
        for (unsigned k = 0; k < PARENT_NAMES; k++)
            if (i.parent_name[k])
                printf("            %s\n", i.parent_name[k]);
    }
    printf("made by:    %s\n", i.creator);
    if (i.dirty)
        printf("note:       was not closed cleanly; opening it for writing mends that\n");
    if (i.saved_state)
        printf("note:       a saved machine uses this disk\n");
}

int verb_info(struct disk_cmd *c)
{
    struct disk *d;

    if (open_image(c, c->arg[0],
                   (struct disk_open){ .no_parent = !c->chain, .no_lock = true }, &d) < 0)
        return 1;
    if (c->json && !c->chain) {
        print_json(info_json(d));
    } else if (c->json) {
        struct json_object *a = json_object_new_array();
        for (struct disk *p = d; p; p = disk_parent(p))
            json_object_array_add(a, info_json(p));
        print_json(a);
    } else {
        unsigned depth = 0;
        for (struct disk *p = d; p && (p == d || c->chain); p = disk_parent(p)) {
            char name[64];
            snprintf(name, sizeof name, "(ancestor %u)", depth);
            printf("%s", depth ? "\n" : "");
            info_text(p, depth++ ? name : c->arg[0]);
        }
    }
    disk_close(d, NULL);
    return 0;
}

/* ---- map ------------------------------------------------------------------------------------- */

int verb_map(struct disk_cmd *c)
{
    static const char *const kinds[] = { "data", "zero", "absent" };
    struct json_object *a = c->json ? json_object_new_array() : NULL;
    struct disk_extent x, more;
    struct disk *d;
    int r = 0;

    if (open_image(c, c->arg[0], (struct disk_open){ .no_lock = true }, &d) < 0)
        return 1;
    if (!c->json)
        printf("%-16s %-16s %-7s %5s %s\n", "offset", "length", "kind", "layer", "in file");
    for (uint64_t off = 0; off < d->size && r == 0; off += x.len) {
        r = disk_map(d, off, d->size - off, &x);
        while (r == 0 && off + x.len < d->size) { /* what continues is one line */
            r = disk_map(d, off + x.len, d->size - off - x.len, &more);
            bool follows = x.kind != DISK_EXT_DATA || more.file_off == x.file_off + x.len;
            if (r < 0 || more.kind != x.kind || more.depth != x.depth || !follows)
                break;
            x.len += more.len;
        }
        if (r < 0)
            break;
        if (!c->json) {
            printf("%-16llu %-16llu %-7s %5u ", (unsigned long long)off,
                   (unsigned long long)x.len, kinds[x.kind], x.depth);
            if (x.kind == DISK_EXT_DATA && x.file_off != UINT64_MAX)
                printf("%llu", (unsigned long long)x.file_off);
            printf("\n");
            continue;
        }
        struct json_object *o = json_object_new_object();
        add_u64(o, "offset", off);
        add_u64(o, "length", x.len);
        add_text(o, "kind", kinds[x.kind]);
        add_u64(o, "layer", x.depth);
        if (x.kind == DISK_EXT_DATA && x.file_off != UINT64_MAX)
            add_u64(o, "file_offset", x.file_off);
        json_object_array_add(a, o);
    }
    disk_close(d, NULL);
    if (r < 0)
        err_errno(&c->err, -r, "'%s' cannot be mapped", c->arg[0]);
    else if (c->json)
        print_json(TAKE_PTR(a));
    json_object_put(a);
    return r < 0;
}

/* ---- check ----------------------------------------------------------------------------------- */

static const char *const severities[] = { "note", "warning", "leak", "error", "fatal" };

struct found {
    struct disk_cmd *c;
    struct json_object *list;
};

static void on_found(void *ctx, enum disk_severity s, const char *text, bool repaired)
{
    struct found *f = ctx;

    if (!f->list) {
        printf("%s%s: %s\n", severities[s], repaired ? " (repaired)" : "", text);
        return;
    }
    struct json_object *o = json_object_new_object();
    add_text(o, "severity", severities[s]);
    add_text(o, "text", text);
    json_object_object_add(o, "repaired", json_object_new_boolean(repaired));
    json_object_array_add(f->list, o);
}

static int check(struct disk_cmd *c, enum disk_repair repair)
{
    struct found f = { c, c->json ? json_object_new_array() : NULL };
    struct disk_check k = { .found = on_found, .ctx = &f, .repair = repair };
    enum disk_format format = c->from_format ? disk_format_named(c->from_format) : DISK_FMT_PROBE;

    if (disk_check(c->io, c->arg[0], format, &k, &c->err) < 0) {
        json_object_put(f.list);
        return 1;
    }
    uint64_t bad = k.n[DISK_ERROR] + k.n[DISK_FATAL];
    int status = bad ? EXIT_DAMAGED : k.n[DISK_LEAK] ? EXIT_LEAKS : 0;
    if (c->json) {
        struct json_object *o = json_object_new_object();
        add_text(o, "file", c->arg[0]);
        json_object_object_add(o, "good", json_object_new_boolean(!bad));
        add_u64(o, "errors", bad);
        add_u64(o, "warnings", k.n[DISK_WARNING]);
        add_u64(o, "leaks", k.n[DISK_LEAK]);
        add_u64(o, "repaired", k.n_repaired);
        json_object_object_add(o, "findings", f.list);
        print_json(o);
    } else {
        printf("%s: %s\n", c->arg[0],
               bad && k.n_more && repair == DISK_REPAIR_SAFE
                   ? "DAMAGED ('repair --all' mends more, and gives up data for it)"
               : bad ? "DAMAGED" : k.n[DISK_LEAK] ? "good, space is lost" : "good");
    }
    return status;
}

int verb_check(struct disk_cmd *c)
{
    return check(c, DISK_REPAIR_NONE);
}

int verb_repair(struct disk_cmd *c)
{
    return check(c, c->all ? DISK_REPAIR_ALL : DISK_REPAIR_SAFE);
}

int verb_compare(struct disk_cmd *c)
{
    struct disk *a, *b;
    uint64_t at;

    if (open_image(c, c->arg[0], (struct disk_open){ 0 }, &a) < 0)
        return 1;
    c->from_format = NULL; /* --from speaks of the first */
    if (open_image(c, c->arg[1], (struct disk_open){ 0 }, &b) < 0) {
        disk_close(a, NULL);
        return 1;
    }
    int r = disk_compare(a, b, progress_job(c, "comparing "), &at, &c->err);
    progress_end(c);
    disk_close(a, NULL);
    disk_close(b, NULL);
    if (r < 0)
        return 1;
    if (!c->json && !c->quiet && r)
        printf("the disks are equal\n");
    else if (!c->json && !c->quiet)
        printf("the disks differ at byte %llu\n", (unsigned long long)at);
    if (c->json) {
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "equal", json_object_new_boolean(r));
        if (!r)
            add_u64(o, "first_difference", at);
        print_json(o);
    }
    return r ? 0 : EXIT_DAMAGED;
}

/* ---- dump ------------------------------------------------------------------------------------ */

static void dump_guid(const char *name, const uint8_t ms[16])
{
    uint8_t g[16];
    char text[GUID_TEXT];

    guid_swap(ms, g);
    guid_text(g, text);
    printf("  %-16s %s\n", name, text);
}

static void dump_vhdx(struct vhdx *x, bool all)
{
    uint64_t ratio = UINT64_C(1) << x->geo.ratio_shift;

    printf("header (slot %u)\n  sequence         %llu\n", x->slot + 1,
           (unsigned long long)x->hdr.seq);
    dump_guid("file write id", x->hdr.file_guid);
    dump_guid("data write id", x->hdr.data_guid);
    dump_guid("log id", x->hdr.log_guid);
    printf("  log              %#llx, %u bytes%s\n", (unsigned long long)x->hdr.log_off,
           x->hdr.log_len, x->log_was_dirty ? ", dirty" : "");
    for (size_t i = 0; i < x->replay.n && all; i++)
        printf("    %s %#llx, %llu bytes\n", x->replay.op[i].page ? "data" : "zero",
               (unsigned long long)x->replay.op[i].off, (unsigned long long)x->replay.op[i].len);
    printf("regions\n  BAT              %#llx, %u bytes\n  metadata         %#llx, %u bytes\n",
           (unsigned long long)x->regions.bat.off, x->regions.bat.len,
           (unsigned long long)x->regions.meta.off, x->regions.meta.len);
    printf("metadata\n  block size       %u\n  disk size        %llu\n  sectors          %u, %u\n"
           "  fixed            %s\n",
           x->params.block_size, (unsigned long long)x->params.size, x->params.logical,
           x->params.physical, x->params.fixed ? "yes" : "no");
    dump_guid("page 83", x->params.page83);
    if (x->params.has_parent)
        printf("parent locator\n  linkage          %s\n  linkage2         %s\n  relative         "
               "%s\n  volume           %s\n  absolute         %s\n", x->locator.linkage,
               x->locator.linkage2 ? x->locator.linkage2 : "-",
               x->locator.relative ? x->locator.relative : "-",
               x->locator.volume ? x->locator.volume : "-",
               x->locator.absolute ? x->locator.absolute : "-");
    printf("BAT: %llu payload blocks, ratio %llu, %llu entries\n",
           (unsigned long long)x->geo.n_payload, (unsigned long long)ratio,
           (unsigned long long)x->geo.n_bat);
    for (uint64_t i = 0, shown = 0; i < x->geo.n_bat && (all || shown < 64); i++) {
        if (!x->bat[i])
            continue;
        shown++;
        printf("  %8llu %s state %u at %#llx\n", (unsigned long long)i,
               i % (ratio + 1) == ratio ? "bitmap " : "payload",
               (unsigned)(x->bat[i] & VHDX_BAT_STATE),
               (unsigned long long)(x->bat[i] & VHDX_BAT_OFFSET));
    }
}

static void dump_vhd(struct vhd *v, bool all)
{
    char text[GUID_TEXT];

    guid_text(v->footer.uuid, text);
    printf("footer%s\n  features         %#x\n  data offset      %#llx\n  time stamp       %u\n"
           "  creator          %s %#x on %s\n  sizes            %llu now, %llu first\n"
           "  geometry         %u/%u/%u\n  type             %u\n  identity         %s\n",
           v->end_bad ? " (front copy: the end one is bad)" : "", v->footer.features,
           (unsigned long long)v->footer.data_off, v->footer.time, v->footer.app,
           v->footer.app_version, v->footer.host_os, (unsigned long long)v->footer.size,
           (unsigned long long)v->footer.orig_size, v->footer.cyls, v->footer.heads,
           v->footer.sectors, v->footer.type, text);
    if (v->footer.type == VHD_FIXED)
        return;
    guid_text(v->header.parent_uuid, text);
    printf("dynamic header\n  table            %#llx, %u entries\n  block size       %u\n",
           (unsigned long long)v->header.bat_off, v->header.n_bat, v->header.block_size);
    if (v->footer.type == VHD_DIFF) {
        printf("  parent           %s '%s'\n", text, v->header.parent_name);
        for (unsigned i = 0; i < VHD_LOCATORS; i++) {
            uint32_t code = htobe32(v->header.loc[i].code);
            if (code)
                printf("  locator          %.4s at %#llx, %u of %u bytes\n", (char *)&code,
                       (unsigned long long)v->header.loc[i].off, v->header.loc[i].len,
                       v->header.loc[i].space);
        }
        printf("  relative         %s\n  absolute         %s\n",
               v->loc_relative ? v->loc_relative : "-", v->loc_absolute ? v->loc_absolute : "-");
    }
    for (uint32_t i = 0, shown = 0; i < v->header.n_bat && (all || shown < 64); i++) {
        if (v->bat[i] == VHD_BAT_NONE)
            continue;
        shown++;
        printf("  %8u at %#llx\n", i, (unsigned long long)v->bat[i] * VHD_SECTOR);
    }
}

int verb_dump(struct disk_cmd *c)
{
    struct disk *d;

    if (open_image(c, c->arg[0],
                   (struct disk_open){ .no_parent = true, .no_lock = true, .repair = true },
                   &d) < 0)
        return 1;
    if (c->json)
        print_json(info_json(d));
    else if (d->ops == &vhdx_ops)
        dump_vhdx(vhdx_of(d), c->all);
    else if (d->ops == &vhd_ops)
        dump_vhd(vhd_of(d), c->all);
    else
        info_text(d, c->arg[0]);
    disk_close(d, NULL);
    return 0;
}
