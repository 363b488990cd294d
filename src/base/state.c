/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.c - see state.h. */
#include "base/state.h"

#include <errno.h>

#define NAME_MAX_BYTES 63

void buf_add(struct buf *b, const void *p, size_t n)
{
    if (b->failed)
        return;
    if (b->size - b->n < n) {
        size_t size = MAX(b->size * 2, b->n + n + 256);
        uint8_t *q = realloc(b->p, size);
        if (!q) {
            b->failed = true;
            return;
        }
        b->p = q;
        b->size = size;
    }
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
}

void buf_done(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ 0 };
}

static void add_u32(struct buf *b, uint32_t v)
{
    uint8_t raw[4];

    put_le32(raw, v);
    buf_add(b, raw, sizeof raw);
}

static void add_name(struct buf *b, const char *name)
{
    uint8_t n = (uint8_t)MIN(strlen(name), NAME_MAX_BYTES);

    buf_add(b, &n, 1);
    buf_add(b, name, n);
}

/* Reserve a length word; close_length() fills it with what came behind. */
static size_t open_length(struct buf *b)
{
    add_u32(b, 0);
    return b->n;
}

static void close_length(struct buf *b, size_t start)
{
    if (!b->failed)
        put_le32(b->p + start - 4, (uint32_t)(b->n - start));
}

static void save_fields(struct buf *b, const struct state_desc *d, const uint8_t *obj)
{
    for (size_t i = 0; i < d->n_fields; i++) {
        const struct state_field *f = &d->fields[i];
        add_name(b, f->name);
        size_t start = open_length(b);
        if (f->desc) {
            for (size_t k = 0; k < f->count; k++) {
                size_t one = open_length(b);
                save_fields(b, f->desc, obj + f->off + k * f->size);
                close_length(b, one);
            }
        } else {
            buf_add(b, obj + f->off, f->size * f->count);
        }
        close_length(b, start);
    }
}

void state_save(struct buf *b, const char *instance, const struct state_desc *d, const void *obj)
{
    add_name(b, instance);
    add_u32(b, d->version);
    size_t start = open_length(b);
    save_fields(b, d, obj);
    close_length(b, start);
}

static bool take_name(struct bytes *b, char name[NAME_MAX_BYTES + 1])
{
    uint8_t n;

    if (!bytes_u8(b, &n) || n > NAME_MAX_BYTES || !bytes_copy(b, name, n))
        return false;
    name[n] = 0;
    return true;
}

/* A length word and that many bytes, as a cursor of their own. */
static bool take_part(struct bytes *b, struct bytes *part)
{
    uint32_t n;

    if (!bytes_le32(b, &n) || n > b->n)
        return false;
    *part = bytes_of(b->p, n);
    return bytes_skip(b, n);
}

static int load_fields(struct bytes *from, const struct state_desc *d, unsigned version,
                       uint8_t *obj, struct err *err);

static int load_field(struct bytes part, const struct state_field *f, unsigned version,
                      uint8_t *obj, struct err *err)
{
    if (!f->desc) {
        if (part.n != f->size * f->count)
            return err_set(err, EBADMSG, "field '%s' has %zu bytes, %zu are right", f->name,
                           part.n, f->size * f->count);
        memcpy(obj + f->off, part.p, part.n);
        return 0;
    }
    for (size_t k = 0; k < f->count; k++) {
        struct bytes one;
        if (!take_part(&part, &one))
            return err_set(err, EBADMSG, "field '%s' ends after %zu of %zu elements", f->name,
                           k, f->count);
        int r = load_fields(&one, f->desc, version, obj + f->off + k * f->size, err);
        if (r < 0)
            return err_wrap(err, "field '%s'[%zu]", f->name, k);
    }
    return part.n ? err_set(err, EBADMSG, "field '%s' is too long", f->name) : 0;
}

static int load_fields(struct bytes *from, const struct state_desc *d, unsigned version,
                       uint8_t *obj, struct err *err)
{
    /* Fields stand in the table's order; what is newer than the section may be missing. */
    for (size_t i = 0; i < d->n_fields; i++) {
        const struct state_field *f = &d->fields[i];
        struct bytes at = *from, part;
        char name[NAME_MAX_BYTES + 1];

        if (!take_name(&at, name) || strcmp(name, f->name) != 0) {
            if (f->since > version)
                continue;
            return err_set(err, EBADMSG, "field '%s' is missing", f->name);
        }
        if (!take_part(&at, &part))
            return err_set(err, EBADMSG, "field '%s' is cut off", f->name);
        int r = load_field(part, f, version, obj, err);
        if (r < 0)
            return r;
        *from = at;
    }
    if (from->n)
        return err_set(err, EBADMSG, "%zu bytes that no field claims", from->n);
    return 0;
}

int state_load(struct bytes *from, const char *instance, const struct state_desc *d, void *obj,
               struct err *err)
{
    char name[NAME_MAX_BYTES + 1];
    struct bytes part;
    uint32_t version;

    if (!take_name(from, name) || !bytes_le32(from, &version) || !take_part(from, &part))
        return err_set(err, EBADMSG, "saved state of '%s' is cut off", instance);
    if (strcmp(name, instance) != 0)
        return err_set(err, EBADMSG, "saved state of '%s' found where '%s' belongs", name,
                       instance);
    if (version > d->version)
        return err_set(err, EBADMSG, "saved state of '%s' has version %u, this program knows %u",
                       instance, version, d->version);
    int r = load_fields(&part, d, version, obj, err);
    if (r < 0)
        return err_wrap(err, "saved state of '%s'", instance);
    if (d->check && !d->check(obj))
        return err_set(err, EBADMSG, "saved state of '%s' contradicts itself", instance);
    return 0;
}

static void dump_bytes(FILE *to, const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    if (n == 1 || n == 2 || n == 4 || n == 8) {
        memcpy(&v, p, n);
        fprintf(to, "%#llx", (unsigned long long)v);
        return;
    }
    for (size_t i = 0; i < MIN(n, 64); i++)
        fprintf(to, "%02x", p[i]);
    fprintf(to, "%s", n > 64 ? "..." : "");
}

void state_dump(FILE *to, const char *instance, const struct state_desc *d, const void *obj)
{
    const uint8_t *base = obj;

    for (size_t i = 0; i < d->n_fields; i++) {
        const struct state_field *f = &d->fields[i];
        for (size_t k = 0; k < f->count; k++) {
            char path[256];
            snprintf(path, sizeof path, f->count > 1 ? "%s.%s[%zu]" : "%s.%s", instance, f->name,
                     k);
            if (f->desc) {
                state_dump(to, path, f->desc, base + f->off + k * f->size);
                continue;
            }
            fprintf(to, "%s = ", path);
            dump_bytes(to, base + f->off + k * f->size, f->size);
            fprintf(to, "\n");
        }
    }
}
