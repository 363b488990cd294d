/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bios.h - a machine that starts from its disks: SeaBIOS in ROM, and what it asks by fw_cfg. */
#pragma once

#include "dev/fw_cfg.h"
#include "vm/firmware.h"

#define BIOS_DEFAULT "/usr/share/seabios/bios-256k.bin" /* Debian's package seabios */

/* The image into a ROM that ends at 4 GiB.  Once, when the machine is made. */
int bios_add_rom(struct gmem *m, const char *path, struct err *err);

/* Its last 128 KiB into the RAM that ends at 1 MiB, where it runs.  At every reset. */
int bios_shadow(struct gmem *m, const char *path, struct err *err);

/* Memory map, processors, ACPI and SMBIOS tables (with the loader's commands), console. */
int bios_describe(struct fw_cfg *f, const struct firmware_config *cfg, uint16_t console_port,
                  struct err *err);
