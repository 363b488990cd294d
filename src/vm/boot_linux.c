/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_linux.c - Linux bzImage by the 64-bit or 32-bit boot protocol.
 *
 * Spec:    Linux Documentation/arch/x86/boot.rst (sections named at the functions), zero-page.rst.
 * Models:  protocol 2.00 and later with the kernel loaded high.  Not: zImage (loads at 64 KiB),
 *          the 16-bit entry (no BIOS to call here), EFI handover.
 * Called:  boot.c.   Tests: boot_test.c, boot_fuzz.c; real peers: Debian kernels. */
#include <errno.h>

#include "vm/boot_internal.h"

/* The setup header, offsets in the file. */
#define HDR_START          0x1f1
#define HDR_SETUP_SECTS    0x1f1
#define HDR_SYSSIZE        0x1f4
#define HDR_VID_MODE       0x1fa
#define HDR_BOOT_FLAG      0x1fe
#define HDR_JUMP           0x201 /* its byte: the header ends at 0x202 + that */
#define HDR_MAGIC          0x202
#define HDR_VERSION        0x206
#define HDR_KERNEL_VERSION 0x20e
#define HDR_LOADER_TYPE    0x210
#define HDR_LOADFLAGS      0x211
#define HDR_RAMDISK        0x218
#define HDR_RAMDISK_SIZE   0x21c
#define HDR_CMDLINE        0x228
#define HDR_INITRD_MAX     0x22c
#define HDR_ALIGNMENT      0x230
#define HDR_RELOCATABLE    0x234
#define HDR_XLOADFLAGS     0x236
#define HDR_CMDLINE_SIZE   0x238
#define HDR_PREF_ADDRESS   0x258
#define HDR_INIT_SIZE      0x260
#define HDR_END_MAX        0x290 /* boot_params has other things from here on */

#define LOADED_HIGH    0x01
#define XLF_KERNEL_64  0x01
#define LOADER_UNKNOWN 0xff /* a loader without a registered number */
#define VID_NORMAL     0xffff

/* boot_params ("zero page") beyond the header. */
#define BP_EXT_MEM_K  0x002
#define BP_RSDP       0x070
#define BP_ALT_MEM_K  0x1e0
#define BP_E820_COUNT 0x1e8
#define BP_E820       0x2d0
#define BP_SIZE       0x1000

#define ENTRY_64_OFFSET 0x200

bool bzimage_probe(struct boot_blob b)
{
    return b.n >= HDR_MAGIC + 4 && memcmp(b.p + HDR_MAGIC, "HdrS", 4) == 0 &&
           get_le16(b.p + HDR_BOOT_FLAG) == 0xaa55;
}

/* "6.1.0-18-amd64 (builder) ..." up to the first blank, printable characters only. */
static void decode_release(struct boot_blob b, size_t setup_len, struct bzimage *z)
{
    size_t at = get_le16(b.p + HDR_KERNEL_VERSION) + (size_t)0x200, n = 0;

    if (at == 0x200)
        return;
    for (; at < setup_len && b.p[at] > ' ' && b.p[at] < 0x7f && n < sizeof z->release - 1; at++)
        z->release[n++] = (char)b.p[at];
}

/* "The Real-Mode Kernel Header": what is where depends on the protocol's version. */
static void decode_by_version(struct boot_blob b, struct bzimage *z)
{
    const uint8_t *h = b.p;

    z->initrd_max = z->version >= 0x203 ? get_le32(h + HDR_INITRD_MAX) : 0x37ffffff;
    z->cmdline_max = z->version >= 0x206 ? get_le32(h + HDR_CMDLINE_SIZE) : 255;
    z->relocatable = z->version >= 0x205 && h[HDR_RELOCATABLE];
    z->entry_64 = z->version >= 0x20c && (get_le16(h + HDR_XLOADFLAGS) & XLF_KERNEL_64);
    z->load = LAYOUT_HIGH;
    z->room = z->code_len;
    if (z->version >= 0x20a) {
        z->load = get_le64(h + HDR_PREF_ADDRESS);
        z->room = MAX(z->code_len, get_le32(h + HDR_INIT_SIZE));
    }
}

int bzimage_decode(struct boot_blob b, struct bzimage *ret, struct err *err)
{
    struct bzimage z = { 0 };

    if (!bzimage_probe(b) || b.n < HDR_END_MAX)
        return err_set(err, ENOEXEC, "bzImage of %zu bytes: the setup header is cut off", b.n);
    z.version = get_le16(b.p + HDR_VERSION);
    if (z.version < 0x200)
        return err_set(err, ENOEXEC, "bzImage of boot protocol %u.%02u: 2.00 or later is needed",
                       z.version >> 8, z.version & 0xff);
    if (!(b.p[HDR_LOADFLAGS] & LOADED_HIGH))
        return err_set(err, ENOEXEC, "a zImage that loads below 1 MiB: only bzImage can be started");

    /* "Loading The Rest of The Kernel" */
    uint32_t sects = b.p[HDR_SETUP_SECTS] ? b.p[HDR_SETUP_SECTS] : 4;
    uint64_t units = get_le32(b.p + HDR_SYSSIZE);
    if (z.version < 0x204)
        units &= 0xffff;
    z.code_off = (sects + 1) * 512u;
    /* syssize is rounded up to 16 bytes, the file need not be. */
    if (b.n <= z.code_off || b.n - z.code_off + 15 < units * 16)
        return err_set(err, ENOEXEC,
                       "bzImage of %zu bytes is cut off: its header says %u of setup and %llu of code",
                       b.n, (unsigned)z.code_off, (unsigned long long)(units * 16));
    z.code_len = b.n - z.code_off;
    z.header_len = MIN(0x202u + b.p[HDR_JUMP], (unsigned)HDR_END_MAX) - HDR_START;
    decode_by_version(b, &z);
    decode_release(b, z.code_off, &z);
    if (z.load % PAGE_SIZE || z.load < LAYOUT_HIGH || z.load >= GMEM_HOLE_START)
        return err_set(err, ENOEXEC, "bzImage that prefers address %#llx: a page from 1 MiB to 3 GiB",
                       (unsigned long long)z.load);
    *ret = z;
    return 0;
}

/* "Loading an initrd": as high as the kernel allows and memory reaches. */
static int put_initrd(struct gmem *m, const struct bzimage *z, const struct boot_blob *initrd,
                      uint8_t *params, struct err *err)
{
    uint64_t at;
    int r = boot_place_initrd(z->load + z->room, MIN(boot_low_end(m), z->initrd_max + 1),
                              initrd->n, &at, err);

    if (r < 0)
        return r;
    put_le32(params + HDR_RAMDISK, (uint32_t)at);
    put_le32(params + HDR_RAMDISK_SIZE, (uint32_t)initrd->n);
    return boot_put(m, at, initrd->p, initrd->n, "initrd", err);
}

static void fill_params(const struct gmem *m, struct boot_blob b, const struct bzimage *z,
                        uint8_t *params)
{
    struct e820_entry map[E820_MAX];
    unsigned n = boot_memory_map(m, map);
    uint64_t above_k = (boot_low_end(m) - LAYOUT_HIGH) / KIB;

    memcpy(params + HDR_START, b.p + HDR_START, z->header_len);
    params[HDR_LOADER_TYPE] = LOADER_UNKNOWN;
    put_le16(params + HDR_VID_MODE, VID_NORMAL);
    put_le32(params + HDR_CMDLINE, LAYOUT_CMDLINE);
    put_le32(params + HDR_RAMDISK, 0);
    put_le32(params + HDR_RAMDISK_SIZE, 0);
    put_le16(params + BP_EXT_MEM_K, (uint16_t)MIN(above_k, 0xfc00u));
    put_le32(params + BP_ALT_MEM_K, (uint32_t)above_k);
    put_le64(params + BP_RSDP, LAYOUT_RSDP);
    params[BP_E820_COUNT] = (uint8_t)n;
    for (unsigned i = 0; i < n; i++) {
        put_le64(params + BP_E820 + i * 20, map[i].at);
        put_le64(params + BP_E820 + i * 20 + 8, map[i].size);
        put_le32(params + BP_E820 + i * 20 + 16, map[i].type);
    }
}

/* "32-bit Boot Protocol" and "64-bit Boot Protocol" */
static int entry_regs(struct gmem *m, const struct bzimage *z, struct vp_regs *ret,
                      struct err *err)
{
    int r = z->entry_64 ? boot_regs_64(m, z->load + ENTRY_64_OFFSET, ret, err)
                        : boot_regs_32(m, z->load, ret, err);

    if (r == 0)
        ret->gpr[RSI] = LAYOUT_PARAMS;
    return r;
}

int bzimage_place(struct gmem *m, struct boot_blob b, const struct boot_blob *initrd,
                  const char *append, struct boot_entry *ret, struct err *err)
{
    uint8_t params[BP_SIZE] = { 0 };
    struct boot_entry entry = { 0 };
    struct bzimage z;
    int r = bzimage_decode(b, &z, err);

    if (r < 0)
        return r;
    if (z.load + z.room > boot_low_end(m))
        return err_set(err, ENOMEM, "needs memory up to %llu MiB, the machine has %llu MiB%s",
                       (unsigned long long)((z.load + z.room + MIB - 1) / MIB),
                       (unsigned long long)(m->ram_size / MIB),
                       m->ram_size > GMEM_HOLE_START ? " (3072 below the PCI hole)" : "");
    fill_params(m, b, &z, params);
    r = boot_put_cmdline(m, append, z.cmdline_max, err);
    if (r == 0)
        r = boot_put(m, z.load, b.p + z.code_off, z.code_len, "kernel", err);
    if (r == 0 && initrd)
        r = put_initrd(m, &z, initrd, params, err);
    if (r == 0)
        r = boot_put(m, LAYOUT_PARAMS, params, sizeof params, "boot parameters", err);
    if (r == 0)
        r = entry_regs(m, &z, &entry.regs, err);
    if (r < 0)
        return r;
    snprintf(entry.what, sizeof entry.what, "Linux %.32s, boot protocol %u.%02u, %s entry", z.release,
             z.version >> 8, z.version & 0xff, z.entry_64 ? "64-bit" : "32-bit");
    *ret = entry;
    return 0;
}
