/* SPDX-License-Identifier: GPL-2.0-or-later */
/* smbios.c - the SMBIOS structures, with a 2.8 and a 3.0 entry point.
 *
 * Spec:    DMTF DSP0134 3.2.  System and board carry Hyper-V's strings: Linux's ata_piix leaves
 *          disks to the synthetic controller on such a machine, and user space asks for them, too.
 *          No asset tag: Azure's would send cloud agents looking for Azure.
 * Called:  firmware.c.   Tests: firmware_test.c; real peer: Linux's dmi-scan. */
#include "base/bytes.h"
#include "vm/firmware.h"
#include "vm/layout.h"

#define ENTRY_2   0x00u /* 31 bytes */
#define ENTRY_3   0x20u /* 24 bytes */
#define TABLE     0x40u
#define STRINGS_MAX 6u

/* A growing table of structures; each is made from its formatted area and its strings. */
struct smbios {
    uint8_t *p;
    size_t n, size;
    unsigned count, largest;
    bool failed;
};

static void put(struct smbios *s, const void *p, size_t n)
{
    if (s->failed || n > s->size - s->n) {
        s->failed = true;
        return;
    }
    memcpy(s->p + s->n, p, n);
    s->n += n;
}

/* 'f' has the header filled in here: type, length, handle (one for each, counted up). */
static void add(struct smbios *s, uint8_t type, uint8_t *f, size_t n,
                const char *const strings[STRINGS_MAX])
{
    size_t start = s->n;

    f[0] = type;
    f[1] = (uint8_t)n;
    put_le16(f + 2, (uint16_t)s->count);
    put(s, f, n);
    for (unsigned i = 0; strings && i < STRINGS_MAX && strings[i]; i++)
        put(s, strings[i], strlen(strings[i]) + 1);
    put(s, "\0", strings && strings[0] ? 1 : 2);
    s->count++;
    s->largest = MAX(s->largest, (unsigned)(s->n - start));
}

static void add_bios(struct smbios *s)
{
    uint8_t f[24] = { [4] = 1, [5] = 2, [8] = 3, [20] = 0, [21] = 1, [22] = 0xff, [23] = 0xff };

    put_le16(f + 6, LAYOUT_FIRMWARE >> 4);
    f[9] = (LAYOUT_HIGH - LAYOUT_FIRMWARE) / (64 * KIB) - 1;
    put_le64(f + 10, 1u << 7);                   /* PCI */
    put_le16(f + 18, 1u | 1u << 3 << 8 | 1u << 4 << 8); /* ACPI; no UEFI but a virtual machine */
    add(s, 0, f, sizeof f, (const char *[STRINGS_MAX]){ "Verdin", "1.0", "01/01/2024" });
}

static void add_system(struct smbios *s, const struct firmware_config *cfg)
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    uint8_t f[27] = { [4] = 1, [5] = 2, [6] = 3, [7] = 4, [24] = 6, [25] = 0, [26] = 5 };

    for (unsigned i = 0; i < 16; i++)
        f[8 + i] = cfg->uuid[order[i]];
    add(s, 1, f, sizeof f, (const char *[STRINGS_MAX]){ "Microsoft Corporation", "Virtual Machine",
                                                        "7.0", cfg->name, "Virtual Machine" });
}

static void add_board(struct smbios *s, const struct firmware_config *cfg)
{
    uint8_t board[15] = { [4] = 1, [5] = 2, [6] = 3, [7] = 4, [9] = 1, [13] = 10 };
    uint8_t chassis[22] = { [4] = 1, [5] = 3, [6] = 2, [7] = 3, [9] = 3, [10] = 3, [11] = 3,
                            [12] = 3 };

    put_le16(board + 11, 3); /* the chassis' handle */
    add(s, 2, board, sizeof board,
        (const char *[STRINGS_MAX]){ "Microsoft Corporation", "Virtual Machine", "7.0", cfg->name });
    add(s, 3, chassis, sizeof chassis,
        (const char *[STRINGS_MAX]){ "Microsoft Corporation", "7.0", cfg->name });
}

static void add_processor(struct smbios *s, unsigned n_vps)
{
    uint8_t f[48] = { [4] = 1, [5] = 3, [6] = 2, [7] = 2, [24] = 0x41, [25] = 1 };

    put_le16(f + 26, 0xffff); /* no cache structures */
    put_le16(f + 28, 0xffff);
    put_le16(f + 30, 0xffff);
    f[35] = f[36] = f[37] = (uint8_t)n_vps;
    put_le16(f + 38, 1u << 2); /* 64-bit capable */
    put_le16(f + 40, 2);       /* family: unknown */
    put_le16(f + 42, (uint16_t)n_vps);
    put_le16(f + 44, (uint16_t)n_vps);
    put_le16(f + 46, (uint16_t)n_vps);
    add(s, 4, f, sizeof f, (const char *[STRINGS_MAX]){ "None", "Virtual processor" });
}

static void add_memory(struct smbios *s, uint64_t bytes)
{
    uint8_t array[23] = { [4] = 3, [5] = 3, [6] = 3 }, device[40] = { 0 };
    unsigned array_handle = s->count;

    put_le32(array + 7, 0x80000000); /* see the extended field */
    put_le16(array + 11, 0xfffe);    /* no error information */
    put_le16(array + 13, 1);
    put_le64(array + 15, bytes);
    add(s, 16, array, sizeof array, NULL);

    put_le16(device + 4, (uint16_t)array_handle);
    put_le16(device + 6, 0xfffe);
    put_le16(device + 8, 64);
    put_le16(device + 10, 64);
    put_le16(device + 12, bytes / MIB < 0x7fff ? (uint16_t)(bytes / MIB) : 0x7fff);
    device[14] = 2; /* form factor: unknown */
    device[16] = 1;
    device[17] = 2;
    device[18] = 2;
    device[23] = 3;
    put_le32(device + 28, (uint32_t)(bytes / MIB));
    add(s, 17, device, sizeof device,
        (const char *[STRINGS_MAX]){ "M0", "None", "Microsoft Corporation" });
}

static void put_entries(uint8_t *out, const struct smbios *s)
{
    uint8_t *e2 = out + ENTRY_2, *e3 = out + ENTRY_3;

    memcpy(e2, "_SM_", 4);
    e2[5] = 0x1f;
    e2[6] = 2;
    e2[7] = 8;
    put_le16(e2 + 8, (uint16_t)s->largest);
    memcpy(e2 + 16, "_DMI_", 5);
    put_le16(e2 + 22, (uint16_t)s->n);
    put_le32(e2 + 24, (uint32_t)(LAYOUT_SMBIOS + TABLE));
    put_le16(e2 + 28, (uint16_t)s->count);
    e2[30] = 0x28;
    e2[21] = firmware_checksum(e2 + 16, 15);
    e2[4] = firmware_checksum(e2, 0x1f);

    memcpy(e3, "_SM3_", 5);
    e3[6] = 0x18;
    e3[7] = 3;
    e3[10] = 1;
    put_le32(e3 + 12, (uint32_t)s->n);
    put_le64(e3 + 16, LAYOUT_SMBIOS + TABLE);
    e3[5] = firmware_checksum(e3, 0x18);
}

size_t smbios_build(const struct firmware_config *cfg, uint8_t *out, size_t size)
{
    uint8_t boot[20] = { 0 }, end[4] = { 0 };

    if (size < TABLE)
        return 0;
    memset(out, 0, size);
    struct smbios s = { .p = out + TABLE, .size = size - TABLE };
    add_bios(&s);
    add_system(&s, cfg);
    add_board(&s, cfg);
    add_processor(&s, cfg->n_vps);
    add_memory(&s, cfg->memory);
    add(&s, 32, boot, sizeof boot, NULL);
    add(&s, 127, end, sizeof end, NULL);
    if (s.failed)
        return 0;
    put_entries(out, &s);
    return TABLE + s.n;
}
