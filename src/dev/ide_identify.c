/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_identify.c - see ide_identify.h.  Numbers in brackets are words of the data. */
#include "dev/ide_identify.h"

#include "base/bytes.h"

static void put(uint8_t *out, unsigned word, unsigned value)
{
    put_le16(out + 2 * word, (uint16_t)value);
}

/* ATA strings: padded with blanks, the bytes of each word swapped. */
static void put_string(uint8_t *out, unsigned word, unsigned n, const char *s)
{
    size_t len = strlen(s);

    for (unsigned i = 0; i < n; i++)
        out[2 * word + (i ^ 1)] = i < len ? (uint8_t)s[i] : ' ';
}

static void put_modes(const struct ide_drive *d, uint8_t *out)
{
    put(out, 49, 0x0300);  /* LBA, DMA */
    put(out, 51, 0x0200);
    put(out, 53, 0x0007);  /* words 54-58, 64-70, 88 are valid */
    put(out, 63, 0x0007 | ((d->dma_mode & 0xf8) == 0x20 ? 0x100u << (d->dma_mode & 7) : 0));
    put(out, 64, 0x0003);  /* PIO 3 and 4 */
    for (unsigned w = 65; w <= 68; w++)
        put(out, w, 120);  /* ns a cycle */
    put(out, 80, 0x01fe);  /* ATA-1 .. ATA8-ACS: Linux sends TRIM from ATA-7 on */
    put(out, 88, 0x001f | ((d->dma_mode & 0xf8) == 0x40 ? 0x100u << (d->dma_mode & 7) : 0));
}

/* [255]: a signature, and what makes all bytes add up to 0. */
static void sign(uint8_t *out)
{
    uint8_t sum = 0;

    out[510] = 0xa5;
    for (unsigned i = 0; i < 511; i++)
        sum = (uint8_t)(sum + out[i]);
    out[511] = (uint8_t)-sum;
}

void ide_identify_disk(const struct ide_drive *d, const struct disk *disk, uint8_t out[512])
{
    uint64_t sectors = disk->size / 512;
    uint32_t chs = (uint32_t)d->cyls * d->heads * d->sectors;

    memset(out, 0, 512);
    put(out, 0, 0x0040); /* fixed */
    put(out, 1, d->cyls);
    put(out, 3, d->heads);
    put(out, 6, d->sectors);
    put_string(out, 10, 20, d->serial);
    put_string(out, 23, 8, "1.0");
    put_string(out, 27, 40, "Virtual HD");
    put(out, 47, 0x8000 | IDE_MULTIPLE_MAX);
    put_modes(d, out);
    put(out, 54, d->cyls);
    put(out, 55, d->heads);
    put(out, 56, d->sectors);
    put_le32(out + 2 * 57, chs);
    put(out, 59, d->multiple ? 0x100 | d->multiple : 0);
    put_le32(out + 2 * 60, (uint32_t)MIN(sectors, 0xfffffff));
    put(out, 82, 0x0028); /* write cache, power management */
    put(out, 83, 0x7400); /* FLUSH, FLUSH EXT, LBA48 */
    put(out, 84, 0x4040); /* FUA */
    put(out, 85, 0x0008 | (d->write_cache ? 0x0020 : 0));
    put(out, 86, 0x3400);
    put(out, 87, 0x4040);
    put(out, 93, 0x6001); /* hardware reset result: device 0 passed, 80-wire cable */
    put_le64(out + 2 * 100, sectors);
    unsigned shift = (unsigned)__builtin_ctz(MAX(disk->phys_block / 512, 1u));
    put(out, 106, 0x4000 | (shift ? 0x2000 | shift : 0)); /* physical sector of 2^shift */
    if (disk->discard_block) {
        put(out, 105, 1);  /* one block of TRIM ranges */
        put(out, 169, 1);  /* TRIM */
    }
    put(out, 217, disk->rotational ? 7200 : 1);
    sign(out);
}

void ide_identify_packet(const struct ide_drive *d, uint8_t out[512])
{
    memset(out, 0, 512);
    put(out, 0, 0x85c0); /* ATAPI, CD-ROM, removable, 12-byte packets, DRQ within 50 us */
    put_string(out, 10, 20, d->serial);
    put_string(out, 23, 8, "1.0");
    put_string(out, 27, 40, "Virtual CD");
    put_modes(d, out);
    put(out, 82, 0x0210); /* PACKET, DEVICE RESET */
    put(out, 83, 0x4000);
    put(out, 84, 0x4000);
    put(out, 85, 0x0210);
    put(out, 87, 0x4000);
    put(out, 93, 0x6001);
    sign(out);
}
