/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_internal.h - what the loaders share: decoded images, the memory map, initial registers. */
#pragma once

#include "vm/boot.h"
#include "vm/layout.h"

/* ---- the memory map, in the types of e820 ---------------------------------------------------- */

enum { E820_RAM = 1, E820_RESERVED = 2 };
#define E820_MAX 8

struct e820_entry {
    uint64_t at, size;
    uint32_t type;
};
unsigned boot_memory_map(const struct gmem *m, struct e820_entry out[E820_MAX]);

/* First byte behind the RAM that begins at 1 MiB. */
uint64_t boot_low_end(const struct gmem *m);

/* ---- helpers of the loaders ------------------------------------------------------------------ */

/* The highest page-aligned place for 'n' bytes of initrd in [from, to); else -ENOSPC, which
 * nothing else here returns. */
int boot_place_initrd(uint64_t from, uint64_t to, uint64_t n, uint64_t *ret, struct err *err);

/* Copy the command line to LAYOUT_CMDLINE; 'max' is what the kernel takes without the closing 0. */
int boot_put_cmdline(struct gmem *m, const char *append, uint64_t max, struct err *err);

/* Flat 32-bit protected mode without paging; descriptor tables are written to guest memory. */
int boot_regs_32(struct gmem *m, uint64_t rip, struct vp_regs *ret, struct err *err);

/* Long mode, the first 4 GiB identity-mapped. */
int boot_regs_64(struct gmem *m, uint64_t rip, struct vp_regs *ret, struct err *err);

/* gmem_write() with words. */
int boot_put(struct gmem *m, uint64_t at, const void *p, size_t n, const char *what,
             struct err *err);

/* ---- bzImage (boot_linux.c) ------------------------------------------------------------------ */

struct bzimage {
    uint16_t version;         /* boot protocol, 0x020f = 2.15 */
    bool entry_64, relocatable;
    size_t header_len;        /* setup header: bytes from 0x1f1 on */
    size_t code_off, code_len; /* the protected-mode part in the file */
    uint64_t load, room;      /* where it runs, how much memory it needs there */
    uint64_t initrd_max;      /* highest address of the last initrd byte */
    uint64_t cmdline_max;
    char release[64];         /* "6.1.0-18-amd64", empty: unknown */
};
bool bzimage_probe(struct boot_blob b);
int bzimage_decode(struct boot_blob b, struct bzimage *ret, struct err *err);
int bzimage_place(struct gmem *m, struct boot_blob b, const struct boot_blob *initrd,
                  const char *append, struct boot_entry *ret, struct err *err);

/* ---- ELF (boot_elf.c, boot_pvh.c, boot_multiboot.c) ------------------------------------------ */

#define ELF_SEGMENTS_MAX 32

struct elf_segment {
    uint64_t off, file_size; /* in the file: checked */
    uint64_t at, mem_size;   /* in guest memory: mem_size >= file_size, at + mem_size < 4 GiB */
};

struct elf_image {
    bool is_64;
    uint64_t entry;     /* as in the header */
    bool has_pvh;
    uint64_t pvh_entry; /* of the Xen note */
    unsigned n_segments;
    struct elf_segment segment[ELF_SEGMENTS_MAX];
    uint64_t start, end; /* physical range that the segments cover */
};
bool elf_probe(struct boot_blob b);
int elf_decode(struct boot_blob b, struct elf_image *ret, struct err *err);
int elf_put(struct gmem *m, struct boot_blob b, const struct elf_image *e, struct err *err);
int elf_place(struct gmem *m, struct boot_blob b, const struct boot_blob *initrd,
              const char *append, struct boot_entry *ret, struct err *err);

/* Multiboot 1 header anywhere in the first 8 KiB; 'has_address': it says where to load itself. */
struct multiboot_header {
    uint32_t flags;
    bool has_address;
    uint32_t header_at, load_at, load_end, bss_end, entry;
    size_t off; /* of the header in the file */
};
/* 1: found, 0: none, negative: a header that cannot be served. */
int multiboot_find(struct boot_blob b, struct multiboot_header *ret, struct err *err);
int multiboot_place(struct gmem *m, struct boot_blob b, const struct multiboot_header *h,
                    const struct boot_blob *initrd, const char *append, struct boot_entry *ret,
                    struct err *err);
