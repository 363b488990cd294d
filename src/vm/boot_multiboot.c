/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_multiboot.c - kernels with a multiboot 1 header: small test guests, kvm-unit-tests.
 *
 * Spec:    Multiboot Specification 0.6.96; section numbers stand at the functions.
 * Models:  ELF images and images with the address fields; command line, one module, memory map.
 *          Not: graphics modes, drives, symbol tables.
 * Called:  boot.c.   Tests: boot_test.c, boot_fuzz.c. */
#include <errno.h>

#include "vm/boot_internal.h"

#define MB_SEARCH       8192u
#define MB_HEADER_MAGIC 0x1badb002u
#define MB_ENTRY_MAGIC  0x2badb002u
#define MB_ADDRESS      0x10000u /* header flag 16 */
#define MB_KNOWN        0x10007u /* pages aligned, memory info, video (ignored), addresses */

#define MBI_MEM     0x001u
#define MBI_CMDLINE 0x004u
#define MBI_MODS    0x008u
#define MBI_MMAP    0x040u
#define MBI_LOADER  0x200u

#define MBI         LAYOUT_PARAMS
#define MBI_MODLIST (LAYOUT_PARAMS + 0x100)
#define MBI_NAME    (LAYOUT_PARAMS + 0x180)
#define MBI_MEMMAP  (LAYOUT_PARAMS + 0x200)

/* 3.1 The header: 32-bit aligned, wholly within the first 8192 bytes, sums to zero. */
int multiboot_find(struct boot_blob b, struct multiboot_header *ret, struct err *err)
{
    size_t end = MIN(b.n, MB_SEARCH);

    for (size_t off = 0; off + 12 <= end; off += 4) {
        const uint8_t *h = b.p + off;
        uint32_t flags = get_le32(h + 4);

        if (get_le32(h) != MB_HEADER_MAGIC || MB_HEADER_MAGIC + flags + get_le32(h + 8) != 0)
            continue;
        if (flags & 0xffff & ~MB_KNOWN)
            return err_set(err, ENOEXEC, "multiboot header asks for features %#x that nobody has",
                           flags & 0xffff);
        struct multiboot_header mb = { .flags = flags, .off = off };
        if (flags & MB_ADDRESS) {
            if (off + 32 > end)
                return err_set(err, ENOEXEC, "multiboot header is cut off at byte %zu", end);
            mb.has_address = true;
            mb.header_at = get_le32(h + 12);
            mb.load_at = get_le32(h + 16);
            mb.load_end = get_le32(h + 20);
            mb.bss_end = get_le32(h + 24);
            mb.entry = get_le32(h + 28);
        }
        *ret = mb;
        return 1;
    }
    return 0;
}

/* 3.1.3 The address fields, as if they were an ELF file with one segment. */
static int by_address(struct boot_blob b, const struct multiboot_header *h, struct elf_image *ret,
                      struct err *err)
{
    uint64_t before = (uint64_t)h->header_at - h->load_at;

    if (h->load_at > h->header_at || before > h->off)
        return err_set(err, ENOEXEC, "multiboot header at %#x, image at %#x: not in this file",
                       h->header_at, h->load_at);
    uint64_t off = h->off - before, len = h->load_end ? (uint64_t)h->load_end - h->load_at : b.n - off;
    uint64_t end = h->bss_end ? h->bss_end : h->load_at + len;
    if ((h->load_end && h->load_end < h->load_at) || !range_ok(off, len, b.n))
        return err_set(err, ENOEXEC, "multiboot image of %zu bytes is cut off: %#x to %#x to load", b.n,
                       h->load_at, h->load_end);
    if (h->load_at < LAYOUT_HIGH || end < h->load_at + len || end > GMEM_HOLE_START)
        return err_set(err, ENOEXEC, "multiboot image at %#x to %#llx: 1 MiB to 3 GiB can be loaded",
                       h->load_at, (unsigned long long)end);
    *ret = (struct elf_image){
        .entry = h->entry,
        .n_segments = 1,
        .segment = { { off, len, h->load_at, end - h->load_at } },
        .start = h->load_at,
        .end = end,
    };
    return 0;
}

/* 3.3 Boot information format */
static int put_info(struct gmem *m, const struct boot_blob *initrd, uint64_t at, struct err *err)
{
    static const char name[] = "verdin";
    uint8_t info[120] = { 0 }, mod[16] = { 0 }, memmap[E820_MAX * 24] = { 0 };
    struct e820_entry map[E820_MAX];
    unsigned n = boot_memory_map(m, map);

    put_le32(info + 0, MBI_MEM | MBI_CMDLINE | MBI_MMAP | MBI_LOADER | (initrd ? MBI_MODS : 0));
    put_le32(info + 4, LAYOUT_EBDA / KIB);
    put_le32(info + 8, (uint32_t)((boot_low_end(m) - LAYOUT_HIGH) / KIB));
    put_le32(info + 16, LAYOUT_CMDLINE);
    put_le32(info + 20, initrd ? 1 : 0);
    put_le32(info + 24, initrd ? MBI_MODLIST : 0);
    put_le32(info + 44, n * 24);
    put_le32(info + 48, MBI_MEMMAP);
    put_le32(info + 64, MBI_NAME);
    put_le32(mod + 0, (uint32_t)at);
    put_le32(mod + 4, (uint32_t)(at + (initrd ? initrd->n : 0)));
    put_le32(mod + 8, LAYOUT_CMDLINE);
    for (unsigned i = 0; i < n; i++) {
        put_le32(memmap + i * 24, 20);
        put_le64(memmap + i * 24 + 4, map[i].at);
        put_le64(memmap + i * 24 + 12, map[i].size);
        put_le32(memmap + i * 24 + 20, map[i].type);
    }
    int r = boot_put(m, MBI, info, sizeof info, "multiboot info", err);
    if (r == 0)
        r = boot_put(m, MBI_MODLIST, mod, sizeof mod, "multiboot info", err);
    if (r == 0)
        r = boot_put(m, MBI_NAME, name, sizeof name, "multiboot info", err);
    return r < 0 ? r : boot_put(m, MBI_MEMMAP, memmap, sizeof memmap, "multiboot info", err);
}

int multiboot_place(struct gmem *m, struct boot_blob b, const struct multiboot_header *h,
                    const struct boot_blob *initrd, const char *append, struct boot_entry *ret,
                    struct err *err)
{
    struct boot_entry entry = { 0 };
    struct elf_image e;
    uint64_t at = 0;
    int r = h->has_address ? by_address(b, h, &e, err) : elf_decode(b, &e, err);

    if (r < 0)
        return r;
    if (e.entry < e.start || e.entry >= e.end)
        return err_set(err, ENOEXEC, "multiboot entry %#llx outside the image (%#llx to %#llx)",
                       (unsigned long long)e.entry, (unsigned long long)e.start,
                       (unsigned long long)e.end);
    r = elf_put(m, b, &e, err);
    if (r == 0)
        r = boot_put_cmdline(m, append, LAYOUT_CMDLINE_SIZE - 1, err);
    if (r == 0 && initrd)
        r = boot_place_initrd(MAX(e.end, LAYOUT_HIGH), boot_low_end(m), initrd->n, &at, err);
    if (r == 0 && initrd)
        r = boot_put(m, at, initrd->p, initrd->n, "module", err);
    if (r == 0)
        r = put_info(m, initrd, at, err);
    if (r == 0)
        r = boot_regs_32(m, e.entry, &entry.regs, err); /* 3.2 Machine state */
    if (r < 0)
        return r;
    entry.regs.gpr[RAX] = MB_ENTRY_MAGIC;
    entry.regs.gpr[RBX] = MBI;
    snprintf(entry.what, sizeof entry.what, "multiboot image, entry %#llx",
             (unsigned long long)e.entry);
    *ret = entry;
    return 0;
}
