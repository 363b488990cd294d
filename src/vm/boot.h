/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot.h - put a kernel into guest memory and say how VP 0 begins.
 *
 * Three kinds of image, told apart by their contents: Linux bzImage (64-bit entry where the kernel
 * has one, else the 32-bit entry), ELF with a multiboot header, ELF with a PVH entry note.
 * Called by the machine before the VPs run, again at every reboot; reads the files anew each time.
 * Firmware tables (acpi.h, smbios.h, mptable.h) are not written here, only announced: the RSDP lies
 * at LAYOUT_RSDP. */
#pragma once

#include "base/err.h"
#include "cpu/engine.h"
#include "guest/gmem.h"

#define BOOT_KERNEL_MAX (2 * GIB) /* bytes of a kernel file */

struct boot_config {
    const char *kernel; /* paths; borrowed */
    const char *initrd; /* NULL: none */
    const char *append; /* command line, NULL: empty */
};

struct boot_entry {
    struct vp_regs regs; /* all of VP 0's */
    char what[96];       /* "Linux 6.1.0-18-amd64, boot protocol 2.15, 64-bit entry" */
};

/* 0, or a negative errno and words that name the file, the value and the rule. */
int boot_load(struct gmem *m, const struct boot_config *cfg, struct boot_entry *ret,
              struct err *err);

/* The same from memory; 'initrd' NULL: none.  The bytes are hostile. */
struct boot_blob {
    const uint8_t *p;
    size_t n;
};
int boot_place(struct gmem *m, struct boot_blob kernel, const struct boot_blob *initrd,
               const char *append, struct boot_entry *ret, struct err *err);
