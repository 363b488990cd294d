/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_fuzz.c - any bytes as a VHD or VHDX: opened, mapped, read, checked, repaired, written.
 *
 * Seeds: tests/corpus/image, made by tools/disk-seed from images of Verdin and of qemu-img.
 * Also replays one log, table, locator or footer decoder on the bare bytes, which reaches deeper
 * than whole files do.  The first byte picks. */
#include "base/bytes.h"
#include "disk/crash.h"
#include "disk/guid.h"
#include "disk/job.h"
#include "disk/layer.h"
#include "disk/vhd.h"
#include "disk/vhdx.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void use(struct disk *d)
{
    static uint8_t buf[65536];
    struct disk_extent x;
    unsigned steps = 0;

    for (uint64_t off = 0; off < d->size && steps < 200; off += x.len, steps++) {
        if (disk_map(d, off, d->size - off, &x) < 0 || !x.len)
            break;
        uint64_t len = MIN((uint64_t)sizeof buf, x.len);
        disk_read_sync(d, off, buf, ALIGN_DOWN(len, (uint64_t)d->block));
    }
    if (d->read_only)
        return;
    uint64_t at = ALIGN_DOWN(d->size / 2, (uint64_t)d->block);
    disk_write_sync(d, at, buf, d->block);
    disk_rw_sync(d, DISK_WRITE_ZEROES, 0, NULL, d->size, DISK_UNMAP);
    disk_flush_sync(d);
}

/* Input as records, so that a file of some MiB is a few KiB of input: file size in sectors (32
 * bits), then again and again: sector (32 bits), bytes (16 bits), the bytes. */
static uint8_t *unpack(const uint8_t *p, size_t n, size_t *ret_size)
{
    if (n < 4)
        return NULL;
    size_t size = MIN((size_t)get_le32(p), (size_t)(16 * MIB / 512)) * 512;
    uint8_t *out = calloc(1, size + 1);
    p += 4;
    n -= 4;
    while (out && n >= 6) {
        uint64_t off = (uint64_t)get_le32(p) * 512;
        size_t len = MIN((size_t)get_le16(p + 4), n - 6);
        if (range_ok(off, len, size))
            memcpy(out + off, p + 6, len);
        p += 6 + len;
        n -= 6 + len;
    }
    *ret_size = size;
    return out;
}

static void whole_file(const uint8_t *p, size_t n, bool writable, bool lenient)
{
    struct clock clock;
    struct disk_open how = { .writable = writable, .repair = lenient };
    struct vhdx *x;
    struct vhd *v;

    clock_init(&clock);
    struct loop *loop = loop_new(&clock);
    struct disk_io *io = disk_io_new(loop, DISK_IO_THREADS, NULL);
    struct crash_file *f = crash_file_new(io, 1);
    crash_file_load(f, p, n);
    struct disk *file = crash_file_reopen(f, !writable);
    if (n >= 8 && memcmp(p, VHDX_FILE_MAGIC, 8) == 0) {
        if (vhdx_open(file, &how, &x, NULL) == 0) {
            if (!lenient)
                use(&x->disk);
            disk_close(&x->disk, NULL);
        }
    } else if (vhd_open(file, &how, &v, NULL) == 0) {
        if (!lenient)
            use(&v->disk);
        disk_close(&v->disk, NULL);
    }
    crash_file_free(f);
    disk_io_free(io);
    loop_free(loop);
}

static void decoders(const uint8_t *p, size_t n)
{
    static uint8_t ring[VHDX_MIB], page[VHDX_REGION_SIZE];
    struct vhdx_header h;
    struct vhdx_regions regions;
    struct vhdx_items items;
    struct vhdx_locator l;
    struct vhdx_replay replay;
    struct vhd_footer footer;
    struct vhd_header header;
    uint8_t guid[16] = { 0 };

    memset(page, 0, sizeof page);
    memcpy(page, p, MIN(n, sizeof page));
    vhdx_header_decode(page, &h, NULL);
    vhdx_regions_decode(page, &regions, NULL);
    vhdx_table_decode(page, VHDX_MIB, &items, NULL);
    if (vhd_footer_decode(page, VHD_FOOTER_SIZE, &footer, NULL) == 0 &&
        vhd_header_decode(page + VHD_FOOTER_SIZE, &footer, true, &header, NULL) == 0)
        free(header.parent_name);
    if (vhdx_locator_decode(p, n, &l, NULL) == 0)
        vhdx_locator_done(&l);
    memset(ring, 0, sizeof ring);
    memcpy(ring, p, MIN(n, sizeof ring));
    if (n >= VHDX_LOG_HEADER)
        memcpy(guid, p + VHDX_LOG_GUID, 16);
    if (vhdx_log_scan(ring, sizeof ring, guid, 64 * VHDX_MIB, &replay, NULL) == 0)
        vhdx_replay_done(&replay);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 1)
        return 0;
    switch (p[0] & 3) {
    case 0:
        decoders(p + 1, n - 1);
        break;
    default: {
        size_t size;
        uint8_t *file = unpack(p + 1, n - 1, &size);
        if (file)
            whole_file(file, size, p[0] & 1, p[0] & 4);
        free(file);
    }
    }
    return 0;
}
