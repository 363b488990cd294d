/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firmware.c - see firmware.h. */
#include "vm/firmware.h"

#include <errno.h>

#include "vm/layout.h"

uint8_t firmware_checksum(const uint8_t *p, size_t n)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum = (uint8_t)(sum + p[i]);
    return (uint8_t)-sum;
}

static int write_area(struct gmem *m, const struct firmware_config *cfg, const char *what,
                      size_t (*build)(const struct firmware_config *, uint8_t *, size_t),
                      uint64_t at, uint64_t size, struct err *err)
{
    AUTO(free_p) uint8_t *p = calloc(1, size);

    if (!p)
        return err_set(err, ENOMEM, "%s tables: out of memory", what);
    if (!build(cfg, p, size))
        return err_set(err, ENOSPC, "%s tables for %u processors do not fit into %llu bytes", what,
                       cfg->n_vps, (unsigned long long)size);
    if (gmem_write(m, GPA(at), p, size) < 0)
        return err_set(err, EFAULT, "%s tables: no memory at %#llx", what, (unsigned long long)at);
    return 0;
}

int firmware_write(struct gmem *m, const struct firmware_config *cfg, struct err *err)
{
    uint8_t rsdp[36];
    int r = write_area(m, cfg, "ACPI", acpi_build, LAYOUT_ACPI, LAYOUT_ACPI_SIZE, err);

    acpi_build_rsdp(rsdp);
    if (r == 0 && gmem_write(m, GPA(LAYOUT_RSDP), rsdp, sizeof rsdp) < 0)
        r = err_set(err, EFAULT, "ACPI tables: no memory at %#llx", (unsigned long long)LAYOUT_RSDP);
    if (r == 0)
        r = write_area(m, cfg, "SMBIOS", smbios_build, LAYOUT_SMBIOS, LAYOUT_SMBIOS_SIZE, err);
    if (r == 0)
        r = write_area(m, cfg, "MP", mptable_build, LAYOUT_MPTABLE, LAYOUT_MPTABLE_SIZE, err);
    return r;
}
