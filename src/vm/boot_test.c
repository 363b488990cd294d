/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loaders against synthetic images, damaged ones, and Debian's kernels where tools/fetch-guest
 * has put them. */
#include "vm/boot.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/test.h"
#include "vm/boot_internal.h"

static void gmem_free_p(struct gmem **m)
{
    gmem_free(*m);
}

static struct gmem *memory(uint64_t size)
{
    struct gmem *m = NULL;

    if (gmem_new(size, &m, NULL) < 0)
        abort();
    return m;
}

static uint32_t peek32(struct gmem *m, uint64_t at)
{
    uint8_t b[4] = { 0 };

    EXPECT_EQ(gmem_read(m, GPA(at), b, 4), 0);
    return get_le32(b);
}

static uint64_t peek64(struct gmem *m, uint64_t at)
{
    return peek32(m, at) | (uint64_t)peek32(m, at + 4) << 32;
}

/* ---- bzImage --------------------------------------------------------------------------------- */

#define SETUP_BYTES 1024u /* boot sector and one sector of setup */
#define CODE_BYTES  4096u

static uint8_t bz_file[SETUP_BYTES + CODE_BYTES];

static struct boot_blob bz(uint16_t version, uint16_t xloadflags)
{
    uint8_t *p = bz_file;

    memset(p, 0, sizeof bz_file);
    p[0x1f1] = 1;
    put_le32(p + 0x1f4, CODE_BYTES / 16);
    put_le16(p + 0x1fe, 0xaa55);
    p[0x201] = 0x66;
    memcpy(p + 0x202, "HdrS", 4);
    put_le16(p + 0x206, version);
    put_le16(p + 0x20e, 0x100); /* 0x300 in the file */
    memcpy(p + 0x300, "5.4.3-test (me)", 16);
    p[0x211] = 1;
    put_le32(p + 0x22c, 0x7fffffff);
    put_le32(p + 0x230, 0x200000);
    p[0x234] = 1;
    put_le16(p + 0x236, xloadflags);
    put_le32(p + 0x238, 2047);
    put_le64(p + 0x258, 0x1000000);
    put_le32(p + 0x260, 0x200000);
    for (unsigned i = 0; i < CODE_BYTES; i++)
        p[SETUP_BYTES + i] = (uint8_t)(i * 7 + 1);
    return (struct boot_blob){ p, sizeof bz_file };
}

TEST(bzimage_64_bit_entry)
{
    AUTO(gmem_free_p) struct gmem *m = memory(64 * MIB);
    struct boot_blob initrd = { (const uint8_t *)"initrd!", 8 };
    struct boot_entry e;
    struct err err = { 0 };

    EXPECT_EQ(boot_place(m, bz(0x20f, 3), &initrd, "quiet x=1", &e, &err), 0);
    EXPECT_STR(err.text, "");
    EXPECT_EQ(e.regs.rip, 0x1000200);
    EXPECT_EQ(e.regs.gpr[RSI], LAYOUT_PARAMS);
    EXPECT_EQ(e.regs.efer, 0x500);
    EXPECT_EQ(e.regs.cr0, 0x80000011);
    EXPECT_EQ(e.regs.seg[SEG_CS].attr, 0xa09b);
    EXPECT_STR(e.what, "Linux 5.4.3-test, boot protocol 2.15, 64-bit entry");

    uint64_t bp = e.regs.gpr[RSI];
    EXPECT_EQ(peek32(m, bp + 0x202), 0x53726448);
    EXPECT_EQ(peek32(m, bp + 0x228), LAYOUT_CMDLINE);
    EXPECT_EQ(peek32(m, bp + 0x218), 64 * MIB - 4096); /* as high as it goes */
    EXPECT_EQ(peek32(m, bp + 0x21c), 8);
    EXPECT_EQ(peek64(m, bp + 0x70), LAYOUT_RSDP);
    char text[10];
    EXPECT_EQ(gmem_read(m, GPA(LAYOUT_CMDLINE), text, sizeof text), 0);
    EXPECT_STR(text, "quiet x=1");
    EXPECT_EQ(gmem_read(m, GPA(64 * MIB - 4096), text, 8), 0);
    EXPECT_STR(text, "initrd!");
    uint8_t code[CODE_BYTES];
    EXPECT_EQ(gmem_read(m, GPA(0x1000000), code, sizeof code), 0);
    EXPECT_EQ(memcmp(code, bz_file + SETUP_BYTES, sizeof code), 0);
}

TEST(bzimage_page_tables_map_4_gib_one_to_one)
{
    AUTO(gmem_free_p) struct gmem *m = memory(64 * MIB);
    struct boot_entry e;

    EXPECT_EQ(boot_place(m, bz(0x20f, 1), NULL, "", &e, NULL), 0);
    for (uint64_t va = 0; va < 4 * GIB; va += 510 * MIB + 4096) {
        uint64_t pml4e = peek64(m, e.regs.cr3 + (va >> 39) * 8);
        uint64_t pdpte = peek64(m, (pml4e & ~0xfffull) + (va >> 30 & 511) * 8);
        uint64_t pde = peek64(m, (pdpte & ~0xfffull) + (va >> 21 & 511) * 8);
        EXPECT((pml4e & 3) == 3 && (pdpte & 3) == 3 && (pde & 0x83) == 0x83);
        EXPECT_EQ((pde & ~0x1fffffull) | (va & 0x1fffff), va);
    }
}

TEST(bzimage_without_64_bit_entry_starts_in_32_bit_mode)
{
    AUTO(gmem_free_p) struct gmem *m = memory(64 * MIB);
    struct boot_entry e;

    EXPECT_EQ(boot_place(m, bz(0x20f, 0), NULL, "", &e, NULL), 0);
    EXPECT_EQ(e.regs.rip, 0x1000000);
    EXPECT_EQ(e.regs.cr0, 0x11);
    EXPECT_EQ(e.regs.efer, 0);
    EXPECT_EQ(e.regs.seg[SEG_CS].attr, 0xc09b);
    EXPECT_EQ(e.regs.seg[SEG_CS].sel, 0x10);
    EXPECT_EQ(e.regs.seg[SEG_SS].sel, 0x18);
    /* The table in memory says the same as the registers. */
    EXPECT_EQ(peek64(m, e.regs.gdt.base + 0x10), 0x00cf9b000000ffff);
    EXPECT_EQ(peek64(m, e.regs.gdt.base + 0x18), 0x00cf93000000ffff);
}

TEST(bzimage_of_old_protocols_loads_at_1_mib)
{
    AUTO(gmem_free_p) struct gmem *m = memory(64 * MIB);
    struct boot_blob initrd = { (const uint8_t *)"initrd!", 8 };
    struct boot_entry e;
    struct err err;
    char line[300];

    EXPECT_EQ(boot_place(m, bz(0x202, 0), &initrd, "", &e, NULL), 0);
    EXPECT_EQ(e.regs.rip, 0x100000);
    memset(line, 'a', sizeof line);
    line[256] = '\0';
    EXPECT(boot_place(m, bz(0x202, 0), NULL, line, &e, &err) < 0);
    EXPECT_STR(err.text, "command line of 256 characters: this kernel takes 255");
    line[255] = '\0';
    EXPECT_EQ(boot_place(m, bz(0x202, 0), NULL, line, &e, &err), 0);
}

TEST(bzimage_memory_map)
{
    AUTO(gmem_free_p) struct gmem *m = memory(5 * GIB);
    struct boot_entry e;
    uint64_t at = LAYOUT_PARAMS + 0x2d0, ram = 0;

    EXPECT_EQ(boot_place(m, bz(0x20f, 1), NULL, "", &e, NULL), 0);
    unsigned n = peek32(m, LAYOUT_PARAMS + 0x1e8) & 0xff;
    for (unsigned i = 0; i < n; i++, at += 20) {
        uint64_t from = peek64(m, at), size = peek64(m, at + 8);
        if (peek32(m, at + 16) != E820_RAM)
            continue;
        EXPECT(gmem_is_ram(m, GPA(from), size));
        EXPECT(from + size <= 3 * GIB || from >= 4 * GIB);
        ram += size;
    }
    EXPECT(ram > 5 * GIB - MIB && ram <= 5 * GIB);
}

TEST(bzimage_initrd_stays_below_its_limit_and_above_the_kernel)
{
    AUTO(gmem_free_p) struct gmem *m = memory(64 * MIB);
    AUTO(free_p) uint8_t *big = calloc(1, 64 * MIB);
    struct boot_blob b = bz(0x20f, 1), initrd = { big, MIB };
    struct boot_entry e;
    struct err err;

    put_le32(bz_file + 0x22c, 0x2ffffff);
    EXPECT_EQ(boot_place(m, b, &initrd, "", &e, NULL), 0);
    EXPECT_EQ(peek32(m, LAYOUT_PARAMS + 0x218), 0x2f00000);
    initrd.n = 0x3000000 - 0x1200000; /* exactly what is left */
    EXPECT_EQ(boot_place(m, b, &initrd, "", &e, NULL), 0);
    EXPECT_EQ(peek32(m, LAYOUT_PARAMS + 0x218), 0x1200000);
    initrd.n++;
    EXPECT_EQ(boot_place(m, b, &initrd, "", &e, &err), -ENOSPC);
    EXPECT_HAS(err.text, "30721 KiB do not fit: behind the kernel there are 30720 KiB");
}

TEST(bzimage_needs_memory_for_init_size)
{
    AUTO(gmem_free_p) struct gmem *m = memory(17 * MIB);
    struct boot_entry e;
    struct err err;

    EXPECT(boot_place(m, bz(0x20f, 1), NULL, "", &e, &err) < 0);
    EXPECT_STR(err.text, "needs memory up to 18 MiB, the machine has 17 MiB");
}

TEST(bzimage_damaged)
{
    AUTO(gmem_free_p) struct gmem *m = memory(64 * MIB);
    struct boot_blob b = bz(0x20f, 1);
    struct boot_entry e;
    struct err err;

    /* Any cut is an error, and says so. */
    for (size_t n = 0; n < b.n - 15; n += n < 0x400 ? 1 : 61) {
        EXPECT(boot_place(m, (struct boot_blob){ b.p, n }, NULL, "", &e, &err) < 0);
        if (n > 0x300)
            EXPECT_HAS(err.text, "cut off");
    }
    bz_file[0x211] = 0;
    EXPECT(boot_place(m, b, NULL, "", &e, &err) < 0);
    EXPECT_HAS(err.text, "zImage");
    b = bz(0x1ff, 1);
    EXPECT(boot_place(m, b, NULL, "", &e, &err) < 0);
    b = bz(0x20f, 1);
    put_le64(bz_file + 0x258, UINT64_MAX - 0xfff);
    EXPECT(boot_place(m, b, NULL, "", &e, &err) < 0);
    EXPECT_HAS(err.text, "prefers address");
    b = bz(0x20f, 1);
    put_le32(bz_file + 0x260, UINT32_MAX);
    EXPECT(boot_place(m, b, NULL, "", &e, &err) < 0);
    EXPECT_HAS(err.text, "needs memory up to");
}

/* ---- ELF ------------------------------------------------------------------------------------- */

static uint8_t elf_file[0x400];

/* One segment of 0x100 bytes (0x300 in memory) at 2 MiB, one note segment. */
static struct boot_blob elf(bool is_64, uint32_t pvh_entry)
{
    Elf64_Ehdr h64 = { .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = 1,
                       .e_entry = 0xffffffff81000000, .e_phoff = 64, .e_ehsize = 64,
                       .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2 };
    Elf64_Phdr p64[2] = {
        { .p_type = PT_LOAD, .p_offset = 0x200, .p_vaddr = 0xffffffff80200000, .p_paddr = 0x200000,
          .p_filesz = 0x100, .p_memsz = 0x300 },
        { .p_type = PT_NOTE, .p_offset = 0x300, .p_filesz = 0x34, .p_memsz = 0x34, .p_align = 4 },
    };
    Elf32_Ehdr h32 = { .e_type = ET_EXEC, .e_machine = EM_386, .e_version = 1, .e_entry = 0x200010,
                       .e_phoff = 64, .e_ehsize = 52, .e_phentsize = sizeof(Elf32_Phdr),
                       .e_phnum = 2 };
    Elf32_Phdr p32[2] = {
        { .p_type = PT_LOAD, .p_offset = 0x200, .p_vaddr = 0x200000, .p_paddr = 0x200000,
          .p_filesz = 0x100, .p_memsz = 0x300 },
        { .p_type = PT_NOTE, .p_offset = 0x300, .p_filesz = 0x34, .p_memsz = 0x34, .p_align = 4 },
    };
    const uint32_t note[13] = { 4, 8, 7, 0x554e47, 1, 2,         /* "GNU", something else */
                                4, 4, 18, 0x6e6558, pvh_entry }; /* "Xen", PHYS32_ENTRY */

    memset(elf_file, 0, sizeof elf_file);
    memcpy(elf_file, is_64 ? (void *)&h64 : (void *)&h32, is_64 ? sizeof h64 : sizeof h32);
    memcpy(elf_file, ELFMAG, SELFMAG);
    elf_file[EI_CLASS] = is_64 ? ELFCLASS64 : ELFCLASS32;
    elf_file[EI_DATA] = ELFDATA2LSB;
    memcpy(elf_file + 64, is_64 ? (void *)p64 : (void *)p32, is_64 ? sizeof p64 : sizeof p32);
    memset(elf_file + 0x200, 0x90, 0x100);
    memcpy(elf_file + 0x300, note, sizeof note);
    return (struct boot_blob){ elf_file, sizeof elf_file };
}

TEST(elf_pvh)
{
    AUTO(gmem_free_p) struct gmem *m = memory(64 * MIB);
    struct boot_blob initrd = { (const uint8_t *)"initrd!", 8 };
    struct boot_entry e;

    for (int is_64 = 0; is_64 < 2; is_64++) {
        uint8_t dirt[0x400];
        memset(dirt, 0xee, sizeof dirt);
        gmem_write(m, GPA(0x200000), dirt, sizeof dirt);
        EXPECT_EQ(boot_place(m, elf(is_64, 0x200020), &initrd, "hello", &e, NULL), 0);
        EXPECT_EQ(e.regs.rip, 0x200020);
        EXPECT_EQ(e.regs.cr0, 0x11);
        uint64_t info = e.regs.gpr[RBX];
        EXPECT_EQ(peek32(m, info), 0x336ec578);
        EXPECT_EQ(peek32(m, info + 4), 1);
        EXPECT_EQ(peek32(m, info + 12), 1);
        EXPECT_EQ(peek64(m, peek64(m, info + 16)), 64 * MIB - 4096);
        EXPECT_EQ(peek64(m, peek64(m, info + 16) + 8), 8);
        EXPECT_EQ(peek32(m, peek64(m, info + 24)), 0x6c6c6568); /* "hell" */
        EXPECT_EQ(peek64(m, info + 32), LAYOUT_RSDP);
        EXPECT(peek32(m, info + 48) >= 4);
        EXPECT_EQ(peek32(m, 0x2000fc), 0x90909090);
        EXPECT_EQ(peek32(m, 0x200100), 0); /* bss is cleared */
        EXPECT_EQ(peek32(m, 0x2002fc), 0);
        EXPECT_EQ(peek32(m, 0x200300), 0xeeeeeeee);
    }
}

TEST(elf_damaged)
{
    AUTO(gmem_free_p) struct gmem *m = memory(64 * MIB);
    struct boot_blob b = elf(true, 0x200020);
    struct boot_entry e;
    struct err err;

    for (size_t n = 0; n < 0x334; n++)
        EXPECT(boot_place(m, (struct boot_blob){ b.p, n }, NULL, "", &e, &err) < 0);
    EXPECT_HAS(err.text, "cut off");
    EXPECT(boot_place(m, elf(true, 0x100000), NULL, "", &e, &err) < 0);
    EXPECT_HAS(err.text, "outside its segments");
    b = elf(true, 0x200020);
    put_le16(elf_file + 18, EM_AARCH64);
    EXPECT(boot_place(m, b, NULL, "", &e, &err) < 0);
    EXPECT_HAS(err.text, "machine 183");
    b = elf(true, 0x200020);
    put_le16(elf_file + 16, ET_REL);
    EXPECT(boot_place(m, b, NULL, "", &e, &err) < 0);
    b = elf(true, 0x200020);
    elf_file[0x300 + 6 * 4 + 8] = 17; /* another note type */
    EXPECT(boot_place(m, b, NULL, "", &e, &err) < 0);
    EXPECT_HAS(err.text, "no way to start it");
    b = elf(true, 0x200020);
    put_le64(elf_file + 64 + 24, UINT64_MAX - 0xff); /* p_paddr */
    EXPECT(boot_place(m, b, NULL, "", &e, &err) < 0);
    b = elf(true, 0x200020);
    put_le64(elf_file + 64 + 40, 64 * MIB); /* p_memsz */
    EXPECT(boot_place(m, b, NULL, "", &e, &err) < 0);
    EXPECT_HAS(err.text, "needs memory up to 66 MiB");
}

/* ---- multiboot ------------------------------------------------------------------------------- */

TEST(multiboot_elf_and_address_fields)
{
    AUTO(gmem_free_p) struct gmem *m = memory(64 * MIB);
    struct boot_blob b = elf(false, 0);
    struct boot_entry e;
    struct err err;
    uint32_t header[8] = { 0x1badb002, 3, 0u - 0x1badb002 - 3 };

    memcpy(elf_file + 0x208, header, 12);
    EXPECT_EQ(boot_place(m, b, NULL, "arg", &e, NULL), 0);
    EXPECT_EQ(e.regs.rip, 0x200010);
    EXPECT_EQ(e.regs.gpr[RAX], 0x2badb002);
    uint64_t info = e.regs.gpr[RBX];
    EXPECT_EQ(peek32(m, info), 0x245);
    EXPECT_EQ(peek32(m, info + 4), 639);
    EXPECT_EQ(peek32(m, info + 8), 63 * 1024);
    EXPECT_EQ(peek32(m, peek32(m, info + 16)), 0x677261); /* "arg" */
    EXPECT_EQ(peek32(m, peek32(m, info + 48)), 20);

    /* The same bytes with address fields: the ELF header is passed over. */
    uint32_t fields[8] = { 0x1badb002, 0x10003, 0u - 0x1badb002 - 0x10003, 0x300008, 0x300000,
                           0x300100, 0x300200, 0x300040 };
    memcpy(elf_file + 0x208, fields, sizeof fields);
    EXPECT_EQ(boot_place(m, b, NULL, "", &e, &err), 0);
    EXPECT_EQ(e.regs.rip, 0x300040);
    EXPECT_EQ(peek32(m, 0x300040), 0x90909090);
    put_le32(elf_file + 0x208 + 16, 0x200000); /* image would begin before the file */
    EXPECT(boot_place(m, b, NULL, "", &e, &err) < 0);
    put_le32(elf_file + 0x208 + 16, 0x300000);
    put_le32(elf_file + 0x208 + 20, 0x301000);
    EXPECT(boot_place(m, b, NULL, "", &e, &err) < 0);
    EXPECT_HAS(err.text, "cut off");
}

/* ---- files ----------------------------------------------------------------------------------- */

static int load_file(struct gmem *m, const char *kernel, const char *initrd, struct err *err)
{
    struct boot_config cfg = { .kernel = kernel, .initrd = initrd };
    struct boot_entry e;

    return boot_load(m, &cfg, &e, err);
}

static void write_file(char *path, const void *p, size_t n)
{
    int fd = mkstemp(path);

    if (fd < 0 || write(fd, p, n) != (ssize_t)n)
        abort();
    close(fd);
}

TEST(files_that_are_no_kernels)
{
    AUTO(gmem_free_p) struct gmem *m = memory(64 * MIB);
    char text[] = "/tmp/verdin-boot-XXXXXX", good[] = "/tmp/verdin-boot-XXXXXX", want[256];
    struct err err;

    EXPECT_EQ(load_file(m, "/nonexistent/k", NULL, &err), -ENOENT);
    EXPECT_STR(err.text, "kernel '/nonexistent/k': cannot be opened: No such file or directory");
    EXPECT_EQ(load_file(m, "/tmp", NULL, &err), -EISDIR);
    EXPECT_STR(err.text, "kernel '/tmp': is a directory");
    EXPECT(load_file(m, "/dev/zero", NULL, &err) < 0);
    EXPECT_STR(err.text, "kernel '/dev/zero': is no regular file");
    write_file(text, "", 0);
    EXPECT(load_file(m, text, NULL, &err) < 0);
    EXPECT_HAS(err.text, "is empty");
    unlink(text);
    memcpy(text + sizeof text - 7, "XXXXXX", 6);
    write_file(text, "just some words\n", 16);
    EXPECT(load_file(m, text, NULL, &err) < 0);
    EXPECT_HAS(err.text, "neither a Linux bzImage nor an ELF");

    struct boot_blob b = bz(0x20f, 1);
    write_file(good, b.p, b.n);
    EXPECT_EQ(load_file(m, good, text, &err), 0);
    EXPECT_EQ(load_file(m, good, "/tmp", &err), -EISDIR);
    EXPECT_STR(err.text, "initrd '/tmp': is a directory");
    EXPECT_EQ(truncate(text, 65 * (off_t)MIB), 0);
    EXPECT(load_file(m, good, text, &err) < 0);
    snprintf(want, sizeof want, "initrd '%s': has 65 MiB: more than the guest's memory of 64 MiB", text);
    EXPECT_STR(err.text, want);
    EXPECT_EQ(truncate(text, 60 * (off_t)MIB), 0);
    EXPECT(load_file(m, good, text, &err) < 0);
    snprintf(want, sizeof want, "initrd '%s': 61440 KiB do not fit", text);
    EXPECT_HAS(err.text, want);
    EXPECT_EQ(truncate(text, (off_t)(BOOT_KERNEL_MAX + 1)), 0);
    EXPECT(load_file(m, text, NULL, &err) < 0);
    EXPECT_HAS(err.text, "more than the limit of 2048 MiB");
    unlink(text);
    unlink(good);
}

/* The tests run in the build folder. */
static void real_kernel(const char *path, bool entry_64)
{
    struct boot_config cfg = { .kernel = path, .initrd = path, .append = "console=ttyS0" };
    struct boot_entry e;
    struct err err = { 0 };

    if (access(path, R_OK) < 0)
        test_skip("no kernel here: tools/fetch-guest gets it"); /* frees nothing on its way */
    AUTO(gmem_free_p) struct gmem *m = memory(256 * MIB);
    EXPECT_EQ(boot_load(m, &cfg, &e, &err), 0);
    EXPECT_STR(err.text, "");
    EXPECT_HAS(e.what, "Linux 6.1.");
    EXPECT_EQ(e.regs.efer, entry_64 ? 0x500 : 0);
}

TEST(debian_cloud_amd64)
{
    real_kernel("guests/cloud-amd64/vmlinuz", true);
}

TEST(debian_686_pae)
{
    real_kernel("guests/686-pae/vmlinuz", false);
}
