/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx_meta.c - headers, region tables, metadata and parent locators of VHDX ([MS-VHDX] 2.2-2.6).
 *
 * Called by vhdx.c, vhdx_create.c, vhdx_check.c and the fuzz target. */
#include "disk/vhdx_meta.h"

#include <errno.h>

#include "base/bytes.h"
#include "disk/guid.h"

/* CRC of 'n' bytes with the four at 'at' taken as zero. */
static uint32_t crc_but(const uint8_t *p, size_t n, size_t at)
{
    static const uint8_t zero[4];
    uint32_t c = crc32c(0, p, at);

    c = crc32c(c, zero, 4);
    return crc32c(c, p + at + 4, n - at - 4);
}

/* ---- headers --------------------------------------------------------------------------------- */

int vhdx_header_decode(const uint8_t *p, struct vhdx_header *ret, struct err *err)
{
    struct vhdx_header h = { .seq = get_le64(p + VHDX_HDR_SEQ),
                             .log_version = get_le16(p + VHDX_HDR_LOG_VERSION),
                             .log_len = get_le32(p + VHDX_HDR_LOG_LEN),
                             .log_off = get_le64(p + VHDX_HDR_LOG_OFF) };

    if (memcmp(p, VHDX_HDR_MAGIC, 4) != 0)
        return err_set(err, EILSEQ, "a header does not begin with 'head'");
    if (get_le32(p + VHDX_HDR_CRC) != crc_but(p, VHDX_HEADER_SIZE, VHDX_HDR_CRC))
        return err_set(err, EILSEQ, "a header's checksum is wrong");
    if (get_le16(p + VHDX_HDR_VERSION) != 1)
        return err_set(err, ENOTSUP, "VHDX version %u: only 1 is known",
                       get_le16(p + VHDX_HDR_VERSION));
    memcpy(h.file_guid, p + VHDX_HDR_FILE_GUID, 16);
    memcpy(h.data_guid, p + VHDX_HDR_DATA_GUID, 16);
    memcpy(h.log_guid, p + VHDX_HDR_LOG_GUID, 16);
    if (h.log_len % VHDX_MIB || h.log_off % VHDX_MIB || (h.log_len && h.log_off < VHDX_MIB))
        return err_set(err, EILSEQ, "the log at %#llx, %#x bytes, is not aligned to 1 MiB",
                       (unsigned long long)h.log_off, h.log_len);
    if (h.log_len > VHDX_LOG_LEN_MAX)
        return err_set(err, ENOTSUP, "a log of %u MiB: at most %llu are taken",
                       (unsigned)(h.log_len / VHDX_MIB),
                       (unsigned long long)(VHDX_LOG_LEN_MAX / VHDX_MIB));
    if (!h.log_len && !guid_is_zero(h.log_guid))
        return err_set(err, EILSEQ, "a header names a log of no length");
    *ret = h;
    return 0;
}

void vhdx_header_encode(const struct vhdx_header *h, uint8_t *p)
{
    memset(p, 0, VHDX_HEADER_SIZE);
    memcpy(p, VHDX_HDR_MAGIC, 4);
    put_le64(p + VHDX_HDR_SEQ, h->seq);
    memcpy(p + VHDX_HDR_FILE_GUID, h->file_guid, 16);
    memcpy(p + VHDX_HDR_DATA_GUID, h->data_guid, 16);
    memcpy(p + VHDX_HDR_LOG_GUID, h->log_guid, 16);
    put_le16(p + VHDX_HDR_LOG_VERSION, h->log_version);
    put_le16(p + VHDX_HDR_VERSION, 1);
    put_le32(p + VHDX_HDR_LOG_LEN, h->log_len);
    put_le64(p + VHDX_HDR_LOG_OFF, h->log_off);
    put_le32(p + VHDX_HDR_CRC, crc_but(p, VHDX_HEADER_SIZE, VHDX_HDR_CRC));
}

int vhdx_header_pick(const uint8_t *a, const uint8_t *b, struct vhdx_header *ret,
                     unsigned *ret_slot, bool *ret_other_bad, struct err *err)
{
    struct vhdx_header h[2];
    struct err e[2] = { 0 };
    bool ok[2] = { vhdx_header_decode(a, &h[0], &e[0]) == 0,
                   vhdx_header_decode(b, &h[1], &e[1]) == 0 };

    if (!ok[0] && !ok[1])
        return err_set(err, e[0].code, "no header is good: %s; %s", e[0].text, e[1].text);
    if (ok[0] && ok[1] && h[0].seq == h[1].seq && memcmp(a, b, VHDX_HEADER_SIZE) != 0)
        return err_set(err, EILSEQ, "two different headers have the sequence number %llu",
                       (unsigned long long)h[0].seq);
    *ret_slot = !ok[0] || (ok[1] && h[1].seq > h[0].seq);
    *ret_other_bad = !ok[!*ret_slot];
    *ret = h[*ret_slot];
    return 0;
}

/* ---- region tables --------------------------------------------------------------------------- */

static int region_check(const struct vhdx_region *r, const struct vhdx_regions *all,
                        struct err *err)
{
    const struct vhdx_region *others[18];
    unsigned n = 0;

    if (r->off % VHDX_MIB || r->off < VHDX_MIB || r->len % VHDX_MIB || !r->len ||
        r->off > VHDX_FILE_MAX)
        return err_set(err, EILSEQ, "a region at %#llx, %#x bytes: multiples of 1 MiB are due",
                       (unsigned long long)r->off, r->len);
    if (all->bat.len)
        others[n++] = &all->bat;
    if (all->meta.len)
        others[n++] = &all->meta;
    for (unsigned i = 0; i < all->n_other; i++)
        others[n++] = &all->other[i];
    for (unsigned i = 0; i < n; i++) {
        if (r->off < others[i]->off + others[i]->len && others[i]->off < r->off + r->len)
            return err_set(err, EILSEQ, "two regions overlap at %#llx",
                           (unsigned long long)MAX(r->off, others[i]->off));
    }
    return 0;
}

int vhdx_regions_decode(const uint8_t *t, struct vhdx_regions *ret, struct err *err)
{
    static const uint8_t bat[16] = VHDX_REGION_BAT, meta[16] = VHDX_REGION_META;
    struct vhdx_regions out = { 0 };
    uint32_t n = get_le32(t + VHDX_RGN_COUNT);
    int r;

    if (memcmp(t, VHDX_RGN_MAGIC, 4) != 0)
        return err_set(err, EILSEQ, "a region table does not begin with 'regi'");
    if (get_le32(t + VHDX_RGN_CRC) != crc_but(t, VHDX_REGION_SIZE, VHDX_RGN_CRC))
        return err_set(err, EILSEQ, "a region table's checksum is wrong");
    if (n > VHDX_RGN_MAX)
        return err_set(err, EILSEQ, "a region table of %u entries: at most %u", n, VHDX_RGN_MAX);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *e = t + VHDX_RGN_ENTRIES + i * VHDX_RGN_ENTRY;
        struct vhdx_region g = { .off = get_le64(e + 16), .len = get_le32(e + 24),
                                 .required = get_le32(e + 28) & VHDX_RGN_REQUIRED };
        memcpy(g.guid, e, 16);
        if ((r = region_check(&g, &out, err)) < 0)
            return r;
        bool is_bat = memcmp(g.guid, bat, 16) == 0, is_meta = memcmp(g.guid, meta, 16) == 0;
        struct vhdx_region *to = is_bat ? &out.bat : is_meta ? &out.meta : NULL;
        if (to && to->len)
            return err_set(err, EILSEQ, "a region is there twice");
        if (to) {
            *to = g;
            continue;
        }
        if (g.required)
            return err_set(err, ENOTSUP, "the file needs a region that is not known here");
        if (out.n_other == ARRAY_LEN(out.other))
            return err_set(err, ENOTSUP, "more than %zu unknown regions", ARRAY_LEN(out.other));
        out.other[out.n_other++] = g;
    }
    if (!out.bat.len || !out.meta.len)
        return err_set(err, EILSEQ, "the %s region is missing", out.bat.len ? "metadata" : "BAT");
    if (out.bat.len > VHDX_BAT_LEN_MAX || out.meta.len > VHDX_META_LEN_MAX)
        return err_set(err, EILSEQ, "the BAT region has %u MiB, the metadata %u: too large",
                       (unsigned)(out.bat.len / VHDX_MIB), (unsigned)(out.meta.len / VHDX_MIB));
    *ret = out;
    return 0;
}

void vhdx_regions_encode(const struct vhdx_regions *r, uint8_t *t)
{
    static const uint8_t bat[16] = VHDX_REGION_BAT, meta[16] = VHDX_REGION_META;
    unsigned n = 2 + r->n_other;

    memset(t, 0, VHDX_REGION_SIZE);
    memcpy(t, VHDX_RGN_MAGIC, 4);
    put_le32(t + VHDX_RGN_COUNT, n);
    for (unsigned i = 0; i < n; i++) {
        const struct vhdx_region *g = i == 0 ? &r->bat : i == 1 ? &r->meta : &r->other[i - 2];
        uint8_t *e = t + VHDX_RGN_ENTRIES + i * VHDX_RGN_ENTRY;
        memcpy(e, i == 0 ? bat : i == 1 ? meta : g->guid, 16);
        put_le64(e + 16, g->off);
        put_le32(e + 24, g->len);
        put_le32(e + 28, i < 2 || g->required ? VHDX_RGN_REQUIRED : 0);
    }
    put_le32(t + VHDX_RGN_CRC, crc_but(t, VHDX_REGION_SIZE, VHDX_RGN_CRC));
}

/* ---- metadata -------------------------------------------------------------------------------- */

static const struct item_def {
    uint8_t guid[16];
    const char *name;
    size_t field;
    uint32_t len; /* 0: varies */
    bool needed;
} item_defs[] = {
    { VHDX_ITEM_PARAMS, "File Parameters", offsetof(struct vhdx_items, params), 8, true },
    { VHDX_ITEM_SIZE, "Virtual Disk Size", offsetof(struct vhdx_items, size), 8, true },
    { VHDX_ITEM_PAGE83, "Page 83 Data", offsetof(struct vhdx_items, page83), 16, true },
    { VHDX_ITEM_LOGICAL, "Logical Sector Size", offsetof(struct vhdx_items, logical), 4, true },
    { VHDX_ITEM_PHYSICAL, "Physical Sector Size", offsetof(struct vhdx_items, physical), 4,
      true },
    { VHDX_ITEM_LOCATOR, "Parent Locator", offsetof(struct vhdx_items, locator), 0, false },
};

static struct vhdx_item *item_of(struct vhdx_items *items, const struct item_def *d)
{
    return (struct vhdx_item *)(void *)((char *)items + d->field);
}

static int item_take(const uint8_t *e, uint32_t region_len, struct vhdx_items *out,
                     struct err *err)
{
    static const uint8_t incomplete[16] = VHDX_ITEM_INCOMPLETE;
    uint32_t off = get_le32(e + 16), len = get_le32(e + 20), flags = get_le32(e + 24);
    const struct item_def *d = NULL;

    if (len > VHDX_META_ITEM_MAX || !range_ok(off, len, region_len) ||
        (len && off < VHDX_META_TABLE))
        return err_set(err, EILSEQ, "a metadata item lies outside its region (%#x, %u bytes)", off,
                       len);
    if ((flags & VHDX_META_USER) && (flags & VHDX_META_REQUIRED))
        return err_set(err, EILSEQ, "a user's metadata item is marked as required");
    if (flags & VHDX_META_USER)
        return 0;
    if (memcmp(e, incomplete, 16) == 0) {
        out->incomplete = true;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(item_defs); i++)
        if (memcmp(e, item_defs[i].guid, 16) == 0)
            d = &item_defs[i];
    if (!d)
        return flags & VHDX_META_REQUIRED
                   ? err_set(err, ENOTSUP, "the file needs a metadata item that is not known here")
                   : 0;
    struct vhdx_item *item = item_of(out, d);
    if (item->there)
        return err_set(err, EILSEQ, "the metadata item '%s' is there twice", d->name);
    if (d->len ? len != d->len : len == 0)
        return err_set(err, EILSEQ, "the metadata item '%s' has %u bytes", d->name, len);
    *item = (struct vhdx_item){ off, len, true };
    return 0;
}

int vhdx_table_decode(const uint8_t *t, uint32_t region_len, struct vhdx_items *ret,
                      struct err *err)
{
    struct vhdx_items out = { 0 };
    unsigned n = get_le16(t + VHDX_META_COUNT);

    if (memcmp(t, VHDX_META_MAGIC, 8) != 0)
        return err_set(err, EILSEQ, "the metadata table does not begin with 'metadata'");
    if (n > VHDX_META_MAX)
        return err_set(err, EILSEQ, "a metadata table of %u entries: at most %u", n,
                       VHDX_META_MAX);
    for (unsigned i = 0; i < n; i++) {
        int r = item_take(t + VHDX_META_ENTRIES + i * VHDX_META_ENTRY, region_len, &out, err);
        if (r < 0)
            return r;
    }
    if (out.incomplete)
        return err_set(err, EILSEQ, "the creation of this file was never finished");
    for (size_t i = 0; i < ARRAY_LEN(item_defs); i++)
        if (item_defs[i].needed && !item_of(&out, &item_defs[i])->there)
            return err_set(err, EILSEQ, "the metadata item '%s' is missing", item_defs[i].name);
    *ret = out;
    return 0;
}

int vhdx_params_check(const struct vhdx_params *p, struct err *err)
{
    if (!is_pow2(p->block_size) || p->block_size < VHDX_BLOCK_MIN ||
        p->block_size > VHDX_BLOCK_MAX)
        return err_set(err, EILSEQ, "block size %u: powers of two from 1 to 256 MiB are possible",
                       p->block_size);
    if (p->logical != 512 && p->logical != 4096)
        return err_set(err, EILSEQ, "logical sectors of %u bytes: 512 and 4096 are possible",
                       p->logical);
    if (p->physical != 512 && p->physical != 4096)
        return err_set(err, EILSEQ, "physical sectors of %u bytes: 512 and 4096 are possible",
                       p->physical);
    if (!p->size || p->size > VHDX_SIZE_MAX)
        return err_set(err, EILSEQ, "a disk of %llu bytes: up to 64 TiB are possible",
                       (unsigned long long)p->size);
    if (p->size % p->logical)
        return err_set(err, EILSEQ, "the disk size %llu is no multiple of the sector size %u",
                       (unsigned long long)p->size, p->logical);
    return 0;
}

static unsigned log2_of(uint64_t x)
{
    return 63 - (unsigned)__builtin_clzll(x);
}

void vhdx_geometry(const struct vhdx_params *p, struct vhdx_geometry *g)
{
    g->block_shift = log2_of(p->block_size);
    g->sector_shift = log2_of(p->logical);
    g->ratio_shift = VHDX_CHUNK_SECTORS_SHIFT + g->sector_shift - g->block_shift;
    g->n_payload = (p->size + p->block_size - 1) >> g->block_shift;
    g->n_bitmap = (g->n_payload + (UINT64_C(1) << g->ratio_shift) - 1) >> g->ratio_shift;
    g->n_bat = p->has_parent ? g->n_bitmap * ((UINT64_C(1) << g->ratio_shift) + 1)
                             : g->n_payload + ((g->n_payload - 1) >> g->ratio_shift);
}

/* ---- parent locator -------------------------------------------------------------------------- */

static char **locator_field(struct vhdx_locator *l, const char *key)
{
    return strcmp(key, "parent_linkage") == 0        ? &l->linkage
           : strcmp(key, "parent_linkage2") == 0     ? &l->linkage2
           : strcmp(key, "relative_path") == 0       ? &l->relative
           : strcmp(key, "volume_path") == 0         ? &l->volume
           : strcmp(key, "absolute_win32_path") == 0 ? &l->absolute
                                                     : NULL;
}

static int locator_entry(const uint8_t *p, size_t n, const uint8_t *e, struct vhdx_locator *out,
                         struct err *err)
{
    uint32_t key_off = get_le32(e), value_off = get_le32(e + 4);
    uint16_t key_len = get_le16(e + 8), value_len = get_le16(e + 10);

    if (!range_ok(key_off, key_len, n) || !range_ok(value_off, value_len, n) || !key_len ||
        !value_len || (key_len | value_len) & 1)
        return err_set(err, EILSEQ, "an entry of the parent locator lies outside it");
    AUTO(free_p) char *key = utf16_decode(p + key_off, key_len / 2, false);
    AUTO(free_p) char *value = utf16_decode(p + value_off, value_len / 2, false);
    if (!key || !value)
        return err_set(err, ENOMEM, "no memory for the parent locator");
    char **field = locator_field(out, key);
    if (field && *field)
        return err_set(err, EILSEQ, "the parent locator has '%s' twice", key);
    if (field)
        *field = TAKE_PTR(value);
    return 0;
}

int vhdx_locator_decode(const uint8_t *p, size_t n, struct vhdx_locator *ret, struct err *err)
{
    static const uint8_t type[16] = VHDX_LOCATOR_TYPE;
    struct vhdx_locator out = { 0 };
    int r = 0;

    if (n < 20 || memcmp(p, type, 16) != 0)
        return err_set(err, ENOTSUP, "the parent locator is of a type that is not known here");
    unsigned count = get_le16(p + 18);
    if (count < 1 || count > VHDX_LOCATOR_MAX || 20 + count * 12u > n)
        return err_set(err, EILSEQ, "a parent locator of %u entries in %zu bytes", count, n);
    for (unsigned i = 0; i < count && r == 0; i++)
        r = locator_entry(p, n, p + 20 + i * 12, &out, err);
    if (r == 0 && !out.linkage)
        r = err_set(err, EILSEQ, "the parent locator has no parent_linkage");
    if (r == 0 && !out.relative && !out.volume && !out.absolute)
        r = err_set(err, EILSEQ, "the parent locator has no path");
    if (r < 0) {
        vhdx_locator_done(&out);
        return r;
    }
    *ret = out;
    return 0;
}

void vhdx_locator_done(struct vhdx_locator *l)
{
    free(l->linkage);
    free(l->linkage2);
    free(l->relative);
    free(l->volume);
    free(l->absolute);
    memset(l, 0, sizeof *l);
}

size_t vhdx_locator_encode(const struct vhdx_locator *l, uint8_t *to, size_t max)
{
    static const uint8_t type[16] = VHDX_LOCATOR_TYPE;
    const char *kv[][2] = {
        { "parent_linkage", l->linkage },   { "parent_linkage2", l->linkage2 },
        { "relative_path", l->relative },   { "volume_path", l->volume },
        { "absolute_win32_path", l->absolute },
    };
    unsigned n = 0;

    for (size_t i = 0; i < ARRAY_LEN(kv); i++)
        n += kv[i][1] != NULL;
    size_t at = 20 + 12 * n, e = 20;
    if (max < at)
        return 0;
    memset(to, 0, max);
    memcpy(to, type, 16);
    put_le16(to + 18, (uint16_t)n);
    for (size_t i = 0; i < ARRAY_LEN(kv); i++) {
        if (!kv[i][1])
            continue;
        size_t k = utf16_encode(kv[i][0], to + at, (max - at) / 2, false);
        if (k == SIZE_MAX)
            return 0;
        size_t v = utf16_encode(kv[i][1], to + at + 2 * k, (max - at - 2 * k) / 2, false);
        if (v == SIZE_MAX || v == 0 || 2 * v > UINT16_MAX)
            return 0;
        put_le32(to + e, (uint32_t)at);
        put_le32(to + e + 4, (uint32_t)(at + 2 * k));
        put_le16(to + e + 8, (uint16_t)(2 * k));
        put_le16(to + e + 10, (uint16_t)(2 * v));
        e += 12;
        at += 2 * (k + v);
    }
    return at;
}

/* ---- a new metadata region ------------------------------------------------------------------- */

static void item_put(uint8_t *to, unsigned i, const uint8_t *guid, uint32_t off, uint32_t len,
                     uint32_t flags)
{
    uint8_t *e = to + VHDX_META_ENTRIES + i * VHDX_META_ENTRY;

    memcpy(e, guid, 16);
    put_le32(e + 16, off);
    put_le32(e + 20, len);
    put_le32(e + 24, flags);
}

int vhdx_metadata_encode(const struct vhdx_params *p, const struct vhdx_locator *l, uint8_t *to,
                         size_t size, struct err *err)
{
    const uint32_t base = VHDX_META_TABLE, disk = VHDX_META_VIRTUAL | VHDX_META_REQUIRED;

    memset(to, 0, size);
    memcpy(to, VHDX_META_MAGIC, 8);
    put_le16(to + VHDX_META_COUNT, l ? 6 : 5);
    item_put(to, 0, item_defs[0].guid, base, 8, VHDX_META_REQUIRED);
    item_put(to, 1, item_defs[1].guid, base + 8, 8, disk);
    item_put(to, 2, item_defs[2].guid, base + 16, 16, disk);
    item_put(to, 3, item_defs[3].guid, base + 32, 4, disk);
    item_put(to, 4, item_defs[4].guid, base + 36, 4, disk);
    put_le32(to + base, p->block_size);
    put_le32(to + base + 4, (p->fixed ? VHDX_PARAM_FIXED : 0) |
                                (p->has_parent ? VHDX_PARAM_HAS_PARENT : 0));
    put_le64(to + base + 8, p->size);
    memcpy(to + base + 16, p->page83, 16);
    put_le32(to + base + 32, p->logical);
    put_le32(to + base + 36, p->physical);
    if (l) {
        /* On a page of its own, so that it can be rewritten as one logged page or more. */
        size_t n = vhdx_locator_encode(l, to + base + 4096, size - base - 4096);
        if (!n || n > VHDX_META_ITEM_MAX)
            return err_set(err, ENAMETOOLONG, "the path of the parent is too long to be noted");
        item_put(to, 5, item_defs[5].guid, base + 4096, (uint32_t)n, VHDX_META_REQUIRED);
    }
    return 0;
}
