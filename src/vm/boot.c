/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot.c - see boot.h.  Reads the files, tells the kinds apart, and has what all loaders need:
 * memory map, BIOS data area, descriptor tables, initial registers. */
#include "vm/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "vm/boot_internal.h"

#define CR0_PE 0x1u
#define CR0_ET 0x10u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x20u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u

#define SEL_CODE 0x10 /* as Linux's boot protocol has them */
#define SEL_DATA 0x18
#define SEL_TSS  0x20

#define PTE_P  0x1u
#define PTE_W  0x2u
#define PTE_PS 0x80u

uint64_t boot_low_end(const struct gmem *m)
{
    return MIN(m->ram_size, GMEM_HOLE_START);
}

unsigned boot_memory_map(const struct gmem *m, struct e820_entry out[E820_MAX])
{
    unsigned n = 0;

    out[n++] = (struct e820_entry){ 0, LAYOUT_EBDA, E820_RAM };
    out[n++] = (struct e820_entry){ LAYOUT_EBDA, LAYOUT_VGA - LAYOUT_EBDA, E820_RESERVED };
    out[n++] = (struct e820_entry){ LAYOUT_FIRMWARE, LAYOUT_HIGH - LAYOUT_FIRMWARE,
                                    E820_RESERVED };
    if (boot_low_end(m) > LAYOUT_HIGH)
        out[n++] = (struct e820_entry){ LAYOUT_HIGH, boot_low_end(m) - LAYOUT_HIGH, E820_RAM };
    if (m->ram_size > GMEM_HOLE_START)
        out[n++] = (struct e820_entry){ GMEM_HOLE_END, m->ram_size - GMEM_HOLE_START, E820_RAM };
    return n;
}

int boot_put(struct gmem *m, uint64_t at, const void *p, size_t n, const char *what,
             struct err *err)
{
    if (n && gmem_write(m, GPA(at), p, n) < 0)
        return err_set(err, ENOMEM, "%s: %#llx to %#llx is not all memory of the guest", what,
                       (unsigned long long)at, (unsigned long long)(at + n));
    return 0;
}

int boot_put_cmdline(struct gmem *m, const char *append, uint64_t max, struct err *err)
{
    size_t n = strlen(append);

    max = MIN(max, LAYOUT_CMDLINE_SIZE - 1);
    if (n > max)
        return err_set(err, E2BIG, "command line of %zu characters: this kernel takes %llu", n,
                       (unsigned long long)max);
    return boot_put(m, LAYOUT_CMDLINE, append, n + 1, "command line", err);
}

int boot_place_initrd(uint64_t from, uint64_t to, uint64_t n, uint64_t *ret, struct err *err)
{
    from = ALIGN_UP(from, PAGE_SIZE);
    if (to < from || to - from < ALIGN_UP(n, PAGE_SIZE))
        return err_set(err, ENOSPC,
                       "%llu KiB do not fit: behind the kernel there are %llu KiB "
                       "(%#llx to %#llx); give the machine more memory",
                       (unsigned long long)((n + KIB - 1) / KIB),
                       (unsigned long long)(to < from ? 0 : (to - from) / KIB),
                       (unsigned long long)from, (unsigned long long)MAX(from, to));
    *ret = ALIGN_DOWN(to - n, PAGE_SIZE);
    return 0;
}

/* ---- initial registers ----------------------------------------------------------------------- */

static int put_gdt(struct gmem *m, bool long_mode, struct err *err)
{
    uint64_t gdt[6] = {
        [SEL_CODE / 8] = long_mode ? 0x00af9b000000ffff : 0x00cf9b000000ffff,
        [SEL_DATA / 8] = 0x00cf93000000ffff,
        /* 32-bit TSS, or the first half of a 64-bit one: base LAYOUT_TSS, busy. */
        [SEL_TSS / 8] = 0x00008b0000000067 | LAYOUT_TSS << 16,
    };
    uint8_t tss[0x68] = { 0 };
    int r = boot_put(m, LAYOUT_GDT, gdt, sizeof gdt, "descriptor table", err);

    return r < 0 ? r : boot_put(m, LAYOUT_TSS, tss, sizeof tss, "task state", err);
}

static void flat_regs(uint64_t rip, bool long_mode, struct vp_regs *ret)
{
    struct vp_segment code = { .limit = 0xffffffff, .sel = SEL_CODE,
                               .attr = long_mode ? 0xa09b : 0xc09b };
    struct vp_segment data = { .limit = 0xffffffff, .sel = SEL_DATA, .attr = 0xc093 };

    *ret = (struct vp_regs){ .rip = rip, .rflags = 0x2, .cr0 = CR0_PE | CR0_ET };
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        ret->seg[i] = i == SEG_CS ? code : data;
    ret->seg[SEG_LDTR] = (struct vp_segment){ .limit = 0xffff, .attr = 0x82, .unusable = 1 };
    ret->seg[SEG_TR] = (struct vp_segment){ .base = LAYOUT_TSS, .limit = 0x67, .sel = SEL_TSS,
                                            .attr = 0x8b };
    ret->gdt = (struct vp_dtable){ .base = LAYOUT_GDT, .limit = 6 * 8 - 1 };
    ret->dr[6] = 0xffff0ff0;
    ret->dr[7] = 0x400;
}

int boot_regs_32(struct gmem *m, uint64_t rip, struct vp_regs *ret, struct err *err)
{
    int r = put_gdt(m, false, err);

    if (r < 0)
        return r;
    flat_regs(rip, false, ret);
    return 0;
}

/* 4 GiB by large pages: one PML4, one PDPT, four directories. */
static int put_identity_map(struct gmem *m, struct err *err)
{
    uint64_t table[512] = { LAYOUT_PAGES + PAGE_SIZE + (PTE_P | PTE_W) };
    int r = boot_put(m, LAYOUT_PAGES, table, sizeof table, "page tables", err);

    for (unsigned i = 0; i < 4; i++)
        table[i] = LAYOUT_PAGES + (2 + i) * PAGE_SIZE + (PTE_P | PTE_W);
    if (r == 0)
        r = boot_put(m, LAYOUT_PAGES + PAGE_SIZE, table, sizeof table, "page tables", err);
    for (unsigned dir = 0; r == 0 && dir < 4; dir++) {
        for (unsigned i = 0; i < 512; i++)
            table[i] = (dir * 512u + i) * (2 * MIB) + (PTE_P | PTE_W | PTE_PS);
        r = boot_put(m, LAYOUT_PAGES + (2 + dir) * PAGE_SIZE, table, sizeof table, "page tables",
                     err);
    }
    return r;
}

int boot_regs_64(struct gmem *m, uint64_t rip, struct vp_regs *ret, struct err *err)
{
    int r = put_gdt(m, true, err);

    if (r == 0)
        r = put_identity_map(m, err);
    if (r < 0)
        return r;
    flat_regs(rip, true, ret);
    ret->cr0 |= CR0_PG;
    ret->cr3 = LAYOUT_PAGES;
    ret->cr4 = CR4_PAE;
    ret->efer = EFER_LME | EFER_LMA;
    return 0;
}

/* What kernels look up in the BIOS data area: serial ports, EBDA segment, base memory. */
static int put_bda(struct gmem *m, struct err *err)
{
    uint8_t bda[256] = { 0 };

    put_le16(bda + 0x00, PORT_COM1);
    put_le16(bda + 0x02, PORT_COM2);
    put_le16(bda + 0x0e, LAYOUT_EBDA >> 4);
    put_le16(bda + 0x13, LAYOUT_EBDA / KIB);
    return boot_put(m, LAYOUT_BDA, bda, sizeof bda, "BIOS data area", err);
}

/* ---- images ---------------------------------------------------------------------------------- */

int boot_place(struct gmem *m, struct boot_blob kernel, const struct boot_blob *initrd,
               const char *append, struct boot_entry *ret, struct err *err)
{
    struct multiboot_header mb;
    int r = put_bda(m, err);

    if (r < 0)
        return r;
    if (bzimage_probe(kernel))
        return bzimage_place(m, kernel, initrd, append, ret, err);
    r = multiboot_find(kernel, &mb, err);
    if (r < 0)
        return r;
    if (r > 0)
        return multiboot_place(m, kernel, &mb, initrd, append, ret, err);
    if (elf_probe(kernel))
        return elf_place(m, kernel, initrd, append, ret, err);
    return err_set(err, ENOEXEC, "neither a Linux bzImage nor an ELF or multiboot kernel");
}

struct image_file {
    uint8_t *p;
    size_t n;
};

static void image_file_done(struct image_file *f)
{
    free(f->p);
}

static int read_all(int fd, uint8_t *p, size_t n, struct err *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t r = read(fd, p + done, n - done);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_errno(err, errno, "cannot be read");
        if (r == 0)
            return err_set(err, EIO, "ended after %zu of %zu bytes", done, n);
        done += (size_t)r;
    }
    return 0;
}

/* A whole regular file.  Others cannot be read again at the next reboot. */
static int image_file_read(const char *path, uint64_t max, const char *max_is,
                           struct image_file *ret, struct err *err)
{
    AUTO(close_fd_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "cannot be opened");
    if (S_ISDIR(st.st_mode))
        return err_set(err, EISDIR, "is a directory");
    if (!S_ISREG(st.st_mode))
        return err_set(err, EINVAL, "is no regular file");
    if (st.st_size == 0)
        return err_set(err, ENODATA, "is empty");
    if ((uint64_t)st.st_size > max)
        return err_set(err, EFBIG, "has %llu MiB: more than %s of %llu MiB",
                       (unsigned long long)((uint64_t)st.st_size / MIB), max_is,
                       (unsigned long long)(max / MIB));
    AUTO(free_p) uint8_t *p = malloc((size_t)st.st_size);
    if (!p)
        return err_set(err, ENOMEM, "has %llu MiB: no memory to read it",
                       (unsigned long long)((uint64_t)st.st_size / MIB));
    int r = read_all(fd, p, (size_t)st.st_size, err);
    if (r < 0)
        return r;
    *ret = (struct image_file){ TAKE_PTR(p), (size_t)st.st_size };
    return 0;
}

int boot_load(struct gmem *m, const struct boot_config *cfg, struct boot_entry *ret,
              struct err *err)
{
    AUTO(image_file_done) struct image_file kernel = { 0 }, initrd = { 0 };
    int r = image_file_read(cfg->kernel, BOOT_KERNEL_MAX, "the limit", &kernel, err);

    if (r < 0)
        return err_wrap(err, "kernel '%s'", cfg->kernel);
    if (cfg->initrd)
        r = image_file_read(cfg->initrd, m->ram_size, "the guest's memory", &initrd, err);
    if (r < 0)
        return err_wrap(err, "initrd '%s'", cfg->initrd);

    struct boot_blob rd = { initrd.p, initrd.n };
    r = boot_place(m, (struct boot_blob){ kernel.p, kernel.n }, cfg->initrd ? &rd : NULL,
                   cfg->append ? cfg->append : "", ret, err);
    if (r == -ENOSPC && cfg->initrd)
        return err_wrap(err, "initrd '%s'", cfg->initrd);
    return r < 0 ? err_wrap(err, "kernel '%s'", cfg->kernel) : 0;
}
