/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a kernel, their second half as initrd and their tail as command line. */
#include "vm/boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gmem *m; /* a test program may keep it; pages are reused from run to run */
    struct boot_entry e;
    struct err err;
    char append[64] = "";

    if (!m && gmem_new(32 * MIB, &m, NULL) < 0)
        abort();
    struct boot_blob kernel = { data, size }, initrd = { data + size / 2, size - size / 2 };
    for (size_t i = 0; i < MIN(size, sizeof append - 1); i++)
        append[i] = (char)(data[size - 1 - i] | 1);
    int r = boot_place(m, kernel, size % 2 ? &initrd : NULL, append, &e, &err);
    if (r == 0 && !gmem_is_ram(m, GPA(e.regs.rip), 1))
        abort();
    return 0;
}
