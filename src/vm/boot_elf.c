/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_elf.c - ELF kernels: decode, load the segments, start by the PVH note.
 *
 * Spec:    System V ABI (ELF-32, ELF-64); Xen's PVH boot ABI: note XEN_ELFNOTE_PHYS32_ENTRY gives
 *          a 32-bit entry, EBX the address of struct hvm_start_info (version 1).
 * Models:  executables for x86, segments below 4 GiB.  Not: relocatable objects, 64-bit entry.
 * Called:  boot.c, boot_multiboot.c (segments).   Tests: boot_test.c, boot_fuzz.c. */
#include <elf.h>
#include <errno.h>

#include "vm/boot_internal.h"

#define NOTE_PHYS32_ENTRY 18
#define NOTES_MAX         1024
#define PHDRS_MAX         256

#define PVH_MAGIC      0x336ec578u
#define PVH_START      LAYOUT_PARAMS /* hvm_start_info, 56 bytes */
#define PVH_MODULES    (LAYOUT_PARAMS + 0x100)
#define PVH_MEMMAP     (LAYOUT_PARAMS + 0x200)
#define PVH_MEMMAP_LEN 24u
#define PVH_CMDLINE_MAX (LAYOUT_CMDLINE_SIZE - 1)

bool elf_probe(struct boot_blob b)
{
    return b.n >= EI_NIDENT && memcmp(b.p, ELFMAG, SELFMAG) == 0;
}

/* A program header of either class. */
struct phdr {
    uint32_t type;
    uint64_t off, paddr, file_size, mem_size, align;
};

static struct phdr phdr_get(const uint8_t *p, bool is_64)
{
    if (is_64)
        return (struct phdr){ get_le32(p), get_le64(p + 8), get_le64(p + 24), get_le64(p + 32),
                              get_le64(p + 40), get_le64(p + 48) };
    return (struct phdr){ get_le32(p), get_le32(p + 4), get_le32(p + 12), get_le32(p + 16),
                          get_le32(p + 20), get_le32(p + 28) };
}

/* Look for the PVH entry in one PT_NOTE segment; broken notes end the search. */
static void scan_notes(struct boot_blob b, const struct phdr *ph, struct elf_image *e)
{
    uint64_t align = ph->align == 8 ? 8 : 4;
    struct bytes in = bytes_of(b.p + ph->off, ph->file_size);

    for (unsigned i = 0; i < NOTES_MAX; i++) {
        uint32_t namesz, descsz, type;

        if (!bytes_le32(&in, &namesz) || !bytes_le32(&in, &descsz) || !bytes_le32(&in, &type))
            return;
        const uint8_t *name = in.p;
        if (!bytes_skip(&in, ALIGN_UP((uint64_t)namesz, align)))
            return;
        const uint8_t *desc = in.p;
        if (in.n < descsz)
            return;
        if (type == NOTE_PHYS32_ENTRY && namesz == 4 && memcmp(name, "Xen", 4) == 0 &&
            (descsz == 4 || descsz == 8)) {
            e->has_pvh = true;
            e->pvh_entry = descsz == 8 ? get_le64(desc) : get_le32(desc);
            return;
        }
        if (!bytes_skip(&in, ALIGN_UP((uint64_t)descsz, align)))
            return;
    }
}

static int take_segment(struct boot_blob b, const struct phdr *ph, unsigned index,
                        struct elf_image *e, struct err *err)
{
    /* Real-mode guests: where 64-bit entries have their page tables, and these have none. */
    bool low = ph->paddr >= LAYOUT_PAGES &&
               range_ok(ph->paddr, ph->mem_size, LAYOUT_CMDLINE);

    if (ph->mem_size == 0)
        return 0;
    if (e->n_segments == ELF_SEGMENTS_MAX)
        return err_set(err, ENOEXEC, "ELF with more than %u segments to load", ELF_SEGMENTS_MAX);
    if (ph->file_size > ph->mem_size)
        return err_set(err, ENOEXEC, "ELF segment %u: %#llx bytes in the file, %#llx in memory",
                       index, (unsigned long long)ph->file_size, (unsigned long long)ph->mem_size);
    if (!low && (ph->paddr < LAYOUT_HIGH || !range_ok(ph->paddr, ph->mem_size, GMEM_HOLE_START)))
        return err_set(err, ENOEXEC,
                       "ELF segment %u at %#llx, %#llx bytes: 1 MiB to 3 GiB can be loaded",
                       index, (unsigned long long)ph->paddr, (unsigned long long)ph->mem_size);
    e->segment[e->n_segments++] =
        (struct elf_segment){ ph->off, ph->file_size, ph->paddr, ph->mem_size };
    e->start = MIN(e->start, ph->paddr);
    e->end = MAX(e->end, ph->paddr + ph->mem_size);
    return 0;
}

static int take_phdrs(struct boot_blob b, uint64_t off, unsigned n, unsigned size,
                      struct elf_image *e, struct err *err)
{
    if (size < (e->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) || n > PHDRS_MAX ||
        !range_ok(off, (uint64_t)n * size, b.n))
        return err_set(err, ENOEXEC,
                       "ELF of %zu bytes: %u program headers of %u bytes at %#llx are not all there",
                       b.n, n, size, (unsigned long long)off);
    for (unsigned i = 0; i < n; i++) {
        struct phdr ph = phdr_get(b.p + off + (uint64_t)i * size, e->is_64);

        if (ph.type != PT_LOAD && ph.type != PT_NOTE)
            continue;
        if (!range_ok(ph.off, ph.file_size, b.n))
            return err_set(err, ENOEXEC,
                           "ELF of %zu bytes is cut off: segment %u is %#llx bytes at %#llx", b.n, i,
                           (unsigned long long)ph.file_size, (unsigned long long)ph.off);
        if (ph.type == PT_NOTE && !e->has_pvh)
            scan_notes(b, &ph, e);
        int r = ph.type == PT_LOAD ? take_segment(b, &ph, i, e, err) : 0;
        if (r < 0)
            return r;
    }
    if (!e->n_segments)
        return err_set(err, ENOEXEC, "ELF without a segment to load");
    return 0;
}

int elf_decode(struct boot_blob b, struct elf_image *ret, struct err *err)
{
    struct elf_image e = { .start = UINT64_MAX };
    int r;

    if (!elf_probe(b) || b.n < sizeof(Elf64_Ehdr))
        return err_set(err, ENOEXEC, "ELF of %zu bytes: the header is cut off", b.n);
    unsigned machine = get_le16(b.p + 18), type = get_le16(b.p + 16);
    e.is_64 = b.p[EI_CLASS] == ELFCLASS64;
    if (b.p[EI_DATA] != ELFDATA2LSB || (!e.is_64 && b.p[EI_CLASS] != ELFCLASS32) ||
        (machine != EM_386 && machine != EM_X86_64))
        return err_set(err, ENOEXEC, "ELF for machine %u, class %u: only x86 can be started", machine,
                       b.p[EI_CLASS]);
    if (type != ET_EXEC && type != ET_DYN)
        return err_set(err, ENOEXEC, "ELF of type %u: no executable", type);
    e.entry = e.is_64 ? get_le64(b.p + 24) : get_le32(b.p + 24);
    if (e.is_64)
        r = take_phdrs(b, get_le64(b.p + 32), get_le16(b.p + 56), get_le16(b.p + 54), &e, err);
    else
        r = take_phdrs(b, get_le32(b.p + 28), get_le16(b.p + 44), get_le16(b.p + 42), &e, err);
    if (r < 0)
        return r;
    *ret = e;
    return 0;
}

int elf_put(struct gmem *m, struct boot_blob b, const struct elf_image *e, struct err *err)
{
    if (e->end > boot_low_end(m))
        return err_set(err, ENOMEM, "needs memory up to %llu MiB, the machine has %llu MiB%s",
                       (unsigned long long)((e->end + MIB - 1) / MIB),
                       (unsigned long long)(m->ram_size / MIB),
                       m->ram_size > GMEM_HOLE_START ? " (3072 below the PCI hole)" : "");
    for (unsigned i = 0; i < e->n_segments; i++) {
        const struct elf_segment *s = &e->segment[i];
        int r = boot_put(m, s->at, b.p + s->off, s->file_size, "ELF segment", err);

        if (r < 0)
            return r;
        if (s->mem_size > s->file_size)
            gmem_zero(m, GPA(s->at + s->file_size), s->mem_size - s->file_size);
    }
    return 0;
}

/* ---- PVH ------------------------------------------------------------------------------------- */

static int put_start_info(struct gmem *m, bool has_module, uint64_t module, uint64_t module_len,
                          struct err *err)
{
    struct e820_entry map[E820_MAX];
    unsigned n = boot_memory_map(m, map);
    uint8_t info[56] = { 0 }, modlist[32] = { 0 }, memmap[E820_MAX * PVH_MEMMAP_LEN] = { 0 };

    put_le32(info + 0, PVH_MAGIC);
    put_le32(info + 4, 1); /* version: with a memory map */
    put_le32(info + 12, has_module);
    put_le64(info + 16, has_module ? PVH_MODULES : 0);
    put_le64(info + 24, LAYOUT_CMDLINE);
    put_le64(info + 32, LAYOUT_RSDP);
    put_le64(info + 40, PVH_MEMMAP);
    put_le32(info + 48, n);
    put_le64(modlist + 0, module);
    put_le64(modlist + 8, module_len);
    for (unsigned i = 0; i < n; i++) {
        put_le64(memmap + i * PVH_MEMMAP_LEN, map[i].at);
        put_le64(memmap + i * PVH_MEMMAP_LEN + 8, map[i].size);
        put_le32(memmap + i * PVH_MEMMAP_LEN + 16, map[i].type);
    }
    int r = boot_put(m, PVH_START, info, sizeof info, "start info", err);
    if (r == 0)
        r = boot_put(m, PVH_MODULES, modlist, sizeof modlist, "start info", err);
    return r < 0 ? r : boot_put(m, PVH_MEMMAP, memmap, sizeof memmap, "start info", err);
}

int elf_place(struct gmem *m, struct boot_blob b, const struct boot_blob *initrd,
              const char *append, struct boot_entry *ret, struct err *err)
{
    struct boot_entry entry = { 0 };
    struct elf_image e;
    uint64_t at = 0;
    int r = elf_decode(b, &e, err);

    if (r < 0)
        return r;
    if (!e.has_pvh)
        return err_set(err, ENOEXEC,
                       "ELF without a PVH entry note and without a multiboot header: no way to start it");
    if (e.pvh_entry < e.start || e.pvh_entry >= e.end)
        return err_set(err, ENOEXEC, "ELF with PVH entry %#llx outside its segments (%#llx to %#llx)",
                       (unsigned long long)e.pvh_entry, (unsigned long long)e.start,
                       (unsigned long long)e.end);
    r = elf_put(m, b, &e, err);
    if (r == 0)
        r = boot_put_cmdline(m, append, PVH_CMDLINE_MAX, err);
    if (r == 0 && initrd)
        r = boot_place_initrd(MAX(e.end, LAYOUT_HIGH), boot_low_end(m), initrd->n, &at, err);
    if (r == 0 && initrd)
        r = boot_put(m, at, initrd->p, initrd->n, "initrd", err);
    if (r == 0)
        r = put_start_info(m, initrd, at, initrd ? initrd->n : 0, err);
    if (r == 0)
        r = boot_regs_32(m, e.pvh_entry, &entry.regs, err);
    if (r < 0)
        return r;
    entry.regs.gpr[RBX] = PVH_START;
    snprintf(entry.what, sizeof entry.what, "ELF%s, PVH entry %#llx", e.is_64 ? "64" : "32",
             (unsigned long long)e.pvh_entry);
    *ret = entry;
    return 0;
}
