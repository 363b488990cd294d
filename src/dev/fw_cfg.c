/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fw_cfg.c - see fw_cfg.h.  Tests: fw_cfg_test.c; real peer: SeaBIOS. */
#include "dev/fw_cfg.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/trace.h"

enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
#define DMA_SIGNATURE        "QEMU CFG"
#define FW_CFG_WRITE_CHANNEL 0x4000u

/* ---- items ----------------------------------------------------------------------------------- */

static int replace(struct fw_cfg_item *i, const void *data, uint32_t n)
{
    uint8_t *p = malloc(n ? n : 1);

    if (!p)
        return -ENOMEM;
    memcpy(p, data, n);
    free(i->data);
    i->data = p;
    i->size = n;
    return 0;
}

int fw_cfg_set(struct fw_cfg *f, enum fw_cfg_key key, const void *data, uint32_t n)
{
    return replace(&f->item[key], data, n);
}

int fw_cfg_set_le(struct fw_cfg *f, enum fw_cfg_key key, uint64_t value, unsigned bytes)
{
    uint8_t raw[8];

    put_le64(raw, value);
    return fw_cfg_set(f, key, raw, MIN(bytes, 8u));
}

/* The directory: count, then size, selector, name of each; big endian. */
static int rebuild_directory(struct fw_cfg *f)
{
    uint8_t dir[4 + FW_CFG_FILES * 64] = { 0 };

    put_be32(dir, f->n_files);
    for (unsigned i = 0; i < f->n_files; i++) {
        uint8_t *e = dir + 4 + 64 * i;
        put_be32(e, f->file[i].size);
        put_be16(e + 4, (uint16_t)(FW_CFG_FILE_FIRST + i));
        memcpy(e + 8, f->file[i].name, sizeof f->file[i].name);
    }
    return fw_cfg_set(f, FW_CFG_FILE_DIR, dir, 4 + 64 * f->n_files);
}

int fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, uint32_t n)
{
    struct fw_cfg_item *i = &f->file[f->n_files];
    int r;

    if (f->n_files == FW_CFG_FILES)
        return -ENOSPC;
    r = replace(i, data, n);
    if (r < 0)
        return r;
    snprintf(i->name, sizeof i->name, "%s", name);
    f->n_files++;
    return rebuild_directory(f);
}

static const struct fw_cfg_item *selected(const struct fw_cfg *f)
{
    static const struct fw_cfg_item none;
    unsigned key = f->key & ~FW_CFG_WRITE_CHANNEL; /* 0x8000 and up: per architecture, we have none */

    if (key < FW_CFG_ITEMS)
        return &f->item[key];
    if (key - FW_CFG_FILE_FIRST < f->n_files)
        return &f->file[key - FW_CFG_FILE_FIRST];
    return &none;
}

/* Behind its end an item reads as zeros. */
static uint8_t next_byte(struct fw_cfg *f)
{
    const struct fw_cfg_item *i = selected(f);

    return f->at < i->size ? i->data[f->at++] : 0;
}

/* ---- DMA ------------------------------------------------------------------------------------- */

static bool dma_read(struct fw_cfg *f, gpa_t to, uint32_t n)
{
    const struct fw_cfg_item *i = selected(f);
    uint32_t have = MIN(n, i->size - MIN(f->at, i->size));

    if (have && gmem_write(f->gmem, to, i->data + f->at, have) < 0)
        return false;
    f->at += have;
    return n == have || gmem_zero(f->gmem, GPA(to.v + have), n - have) == 0;
}

static void dma(struct fw_cfg *f, gpa_t at)
{
    uint8_t raw[16];
    bool ok = true;

    if (gmem_read(f->gmem, at, raw, sizeof raw) < 0)
        return;
    uint32_t control = get_be32(raw), n = get_be32(raw + 4);
    TRACE("fw_cfg", "dma", "control %#x n %u key %#x at %u", control, n, f->key, f->at);
    gpa_t buffer = GPA(get_be64(raw + 8));
    if (control & DMA_SELECT) {
        f->key = (uint16_t)(control >> 16);
        f->at = 0;
    }
    if (control & DMA_READ)
        ok = n == 0 || dma_read(f, buffer, n);
    else if (control & DMA_SKIP)
        f->at += MIN(n, selected(f)->size - MIN(f->at, selected(f)->size));
    else if (control & DMA_WRITE)
        ok = false; /* nothing here can be written */
    put_be32(raw, ok ? 0 : DMA_ERROR);
    gmem_write(f->gmem, at, raw, 4);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static uint64_t fw_cfg_read(void *owner, uint64_t off, unsigned size)
{
    struct fw_cfg *f = owner;
    uint64_t v = 0;

    if (off == 1) /* data; wider accesses arrive byte by byte */
        return next_byte(f);
    if (off >= 4) /* the DMA register says that it is there */
        for (unsigned i = 0; i < size; i++)
            v |= (uint64_t)(uint8_t)DMA_SIGNATURE[off - 4 + i] << 8 * i;
    return v;
}

static void fw_cfg_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct fw_cfg *f = owner;

    if (off == 0 && size == 2) {
        f->key = (uint16_t)value;
        f->at = 0;
    } else if (off == 4 && size == 4) {
        f->dma_high = be32toh((uint32_t)value);
    } else if (off == 8 && size == 4) {
        uint64_t high = f->dma_high;
        f->dma_high = 0;
        dma(f, GPA(high << 32 | be32toh((uint32_t)value)));
    }
}

static const struct io_ops fw_cfg_ops = { fw_cfg_read, fw_cfg_write, 1 | 2 | 4 };

/* ---- life ------------------------------------------------------------------------------------ */

static void fw_cfg_reset(void *chip)
{
    struct fw_cfg *f = chip;

    f->key = 0;
    f->at = 0;
    f->dma_high = 0;
}

static const struct state_field fw_cfg_fields[] = {
    STATE(struct fw_cfg, key),
    STATE(struct fw_cfg, at),
    STATE(struct fw_cfg, dma_high),
};
static const struct state_desc fw_cfg_state = STATE_DESC("fw_cfg", 1, fw_cfg_fields);

const struct device_ops fw_cfg_device = { .state = &fw_cfg_state, .reset = fw_cfg_reset };

void fw_cfg_init(struct fw_cfg *f, struct bus *bus, struct gmem *gmem)
{
    *f = (struct fw_cfg){ .bus = bus, .gmem = gmem };
    fw_cfg_set(f, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_set_le(f, FW_CFG_ID, 3, 4); /* ports and DMA */
    f->io = (struct io_range){ .base = FW_CFG_PORT, .len = FW_CFG_LEN, .ops = &fw_cfg_ops,
                               .owner = f };
    pio_add(bus, &f->io);
}

void fw_cfg_done(struct fw_cfg *f)
{
    pio_remove(f->bus, &f->io);
    for (unsigned i = 0; i < FW_CFG_ITEMS; i++)
        free(f->item[i].data);
    for (unsigned i = 0; i < FW_CFG_FILES; i++)
        free(f->file[i].data);
}
