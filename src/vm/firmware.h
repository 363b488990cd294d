/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firmware.h - the tables by which a kernel learns what machine it is on: ACPI, SMBIOS, MP table.
 *
 * Built from layout.h and a few numbers, written to the reserved memory below 1 MiB.  Called by
 * the machine when it is made and at every reset, before boot_load(). */
#pragma once

#include "base/err.h"
#include "guest/gmem.h"

struct firmware_config {
    unsigned n_vps;
    uint64_t memory;   /* bytes */
    bool vga;          /* the machine has a VGA adapter */
    uint8_t uuid[16];  /* of the system, in the order of its text form */
    const char *name;  /* of the VM: serial number; printable ASCII */
};

int firmware_write(struct gmem *m, const struct firmware_config *cfg, struct err *err);

/* The parts, pure: fill 'out' and return how many bytes were used, 0: they do not fit. */
size_t acpi_build(const struct firmware_config *cfg, uint8_t *out, size_t size);
void acpi_build_rsdp(uint8_t out[36]); /* for tables at LAYOUT_ACPI */
size_t smbios_build(const struct firmware_config *cfg, uint8_t *out, size_t size);
size_t mptable_build(const struct firmware_config *cfg, uint8_t *out, size_t size);

/* The byte that makes the sum of 'n' bytes zero, given that it is 0 now. */
uint8_t firmware_checksum(const uint8_t *p, size_t n);
